"""Each public channel against a real server: what arrives, what may be tried again, what is never told."""

import json
import logging
import time
import traceback
from dataclasses import replace
from functools import partial

import pytest
from public_parties import DOWN, LINK, NUMBER, SECRETS, SUBSCRIBER, TELL, by_ses, channels
from third_parties import Plans, answering, dead_port, mail_server, silent

from infra.edge.inbox import messages
from infra.edge.smtp import Session
from tasks.clients.channels.failures import TIMEOUT_S, Busy
from tasks.clients.parallel import ask_all
from tasks.clients.public import linkedin, mail, sms, statuspage, x
from tasks.errors import DrError, Permanent, Refused, Transient

TEXTS = {
    "arabic": "الخدمة متوقفة منذ الساعة 12:00",
    "japanese": "現在サービスが停止しています。ご不便をおかけします。",
    "emoji": "Down 👩‍👩‍👧‍👦 👍🏽 🇩🇪 since noon",
    "combining": "Cafe\u0301 ordering fails",
    "html": "<script>alert(1)</script> <b>a < b & c</b>",
    "mention": "@everyone (mail infrastructure@naas.ai) #tag *bold* _x_ {y} ~z~ [1] a|b \\",
    "template": "{{ 7*7 }} ${x} %s {0}",
}


def failure(channel, plans, port, words=DOWN):
    with pytest.raises(DrError) as caught:
        TELL[channel](plans, port, words)
    return caught.value


SHOWN = {
    "statuspage": lambda line: f"{line['subject']}\n{line['text']}",
    "email": lambda line: f"{line['subject']}\n{line['text'].removesuffix(chr(10))}",
}
CHANGED = {
    "statuspage": lambda text: text.replace("<", "\u2039"),
    "x": lambda text: text.replace(" @", " @\u200b").replace("\n@", "\n@\u200b"),
}


@pytest.mark.parametrize("channel", TELL)
def test_the_message_arrives_whole_whatever_is_in_it(plans, ports, box, channel):
    told = [replace(DOWN, key=name, text=f"{text}\n{LINK}") for name, text in TEXTS.items()]
    for words in told:
        TELL[channel](plans, ports[0], words)
    show, change = SHOWN.get(channel, lambda line: line["text"]), CHANGED.get(channel, lambda text: text)
    expected = [change(f"{words.subject}\n{words.text}".replace("e\u0301", "é")) for words in told]
    assert [show(line) for line in messages(box)] == expected
    assert {line["channel"] for line in messages(box)} == {channel}


def test_mail_by_smtp_is_one_for_each_with_what_the_readers_programs_need(plans, ports, box):
    settings = channels(plans, *ports).email
    told = [mail.send(plans.plan, settings, DOWN, each) for each in ("ann@example.org", "bob@example.org")]
    assert mail.send(plans.plan, settings, DOWN, "ann@example.org") == told[0]
    first, second, again = messages(box)
    assert (first["to"], second["to"], again["to"]) == (
        ["ann@example.org"], ["bob@example.org"], ["ann@example.org"],
    )  # fmt: skip
    assert told == [first["id"], second["id"]]
    assert told[0] != told[1]
    assert "ann" not in told[0]
    assert first["id"] == again["id"]
    assert first["encrypted"]
    assert first["unsubscribe"] == f"<{settings.unsubscribe}>"


def test_mail_by_ses_is_the_same_mail(plans, ports, box):
    mail.send(plans.plan, by_ses(plans, ports[0]), DOWN, SUBSCRIBER)
    mail.send(plans.plan, channels(plans, *ports).email, DOWN, SUBSCRIBER)
    ses, smtp = messages(box)
    assert ses | {"at": 0} == smtp | {"at": 0}


def test_a_text_message_says_from_whom_and_that_it_matters(plans, ports, box):
    sms.send(plans.plan, channels(plans, *ports).sms, DOWN, NUMBER)
    [line] = messages(box)
    assert (line["to"], line["type"], line["sender"]) == (NUMBER, "Transactional", "NAAS")


@pytest.mark.parametrize(
    "number", ["", "0301234567", "+0301234567", "+49 30 1", "+4930123456\n", "+٤٩٣٠١٢٣٤٥٦"]
)
def test_what_is_no_number_is_refused_before_anything_is_sent(plans, ports, box, number):
    with pytest.raises(Refused, match="not a phone number"):
        sms.send(plans.plan, channels(plans, *ports).sms, DOWN, number)
    assert list(messages(box)) == []


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "ann",
        "ann@example.org\r\nBcc: all@example.org",
        "ann@example.org, bob@example.org",
        "Ann <ann@example.org>",
        "=?utf-8?q?ann=0aBcc:x?=@example.org",
        "änn@example.org",
        "ann@exämple.org",
        "ann@example.org ",
        f"{'a' * 64}@{'b' * 190}.org",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_sent(plans, ports, box, recipient):
    with pytest.raises(Refused, match="not a mail address"):
        mail.send(plans.plan, channels(plans, *ports).email, DOWN, recipient)
    assert list(messages(box)) == []


@pytest.mark.parametrize("channel", TELL)
@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "Down\r\nBcc: all@example.org"},
        {"subject": "Down\nBcc: all@example.org"},
        {"subject": "=?utf-8?q?Down=0ABcc:_all?="},
        {"subject": "x" * 201},
        {"text": "It concerns [Service Name]."},
        {"text": "a" * 20_001},
    ],
)
def test_words_that_are_not_fit_are_refused_before_anybody_is_asked(plans, channel, wrong):
    with answering(plans.tls, (200, "", {})) as (port, asked):
        assert isinstance(failure(channel, plans, port, replace(DOWN, **wrong)), Refused)
    assert asked == []


def answer_of(channel, status, said, headers=()):
    """An answer as the channel's own server words it."""
    if channel == "sms":
        body = f"<ErrorResponse><Error><Code>Odd</Code><Message>{said}</Message></Error></ErrorResponse>"
    elif channel == "email":
        body = json.dumps({"message": said})
    else:
        body = said
    return status, body, dict(headers)


@pytest.mark.parametrize("channel", TELL)
@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (429, {"Retry-After": 7}, Busy),
        (500, {}, Transient),
        (503, {}, Transient),
        (400, {}, Permanent),
        (401, {}, Permanent),
        (403, {}, Permanent),
        (404, {}, Permanent),
        (302, {"Location": "/elsewhere"}, Permanent),
    ],
)
def test_an_answer_says_once_whether_the_same_may_be_tried_again(plans, channel, status, headers, kind):
    with answering(plans.tls, answer_of(channel, status, "the words", headers)) as (port, asked):
        error = failure(channel, plans, port)
    assert type(error) is kind
    assert "the words" in error.detail
    assert len(asked) == 1
    if kind is Busy:
        assert error.seconds == 7
    if kind is Permanent:
        assert f"crisis_communication.channels.{channel}" in error.hint


@pytest.mark.parametrize(("channel", "code"), [("sms", "Throttled"), ("email", "TooManyRequestsException")])
def test_amazons_own_word_for_too_often_is_busy(plans, channel, code):
    status, body, _ = answer_of(channel, 400, "slowly")
    body = body.replace("Odd", "Throttling")
    headers = {"x-amzn-ErrorType": code}
    with answering(plans.tls, (status, body, headers)) as (port, _):
        error = failure(channel, plans, port)
    assert (type(error), error.seconds) == (Busy, 1.0)


def test_statuspages_420_and_the_end_of_xs_window_are_waits(plans):
    with answering(plans.tls, (420, "calm", {"Retry-After": 3})) as (port, _):
        assert failure("statuspage", plans, port).seconds == 3
    with answering(plans.tls, (429, "", {"x-rate-limit-reset": int(time.time()) + 60})) as (port, _):
        assert 50 < failure("x", plans, port).seconds <= 60


@pytest.mark.parametrize("channel", TELL)
def test_a_success_that_is_not_the_third_partys_is_none(plans, channel):
    with answering(plans.tls, (200, "<html>please log in</html>", {})) as (port, _):
        assert type(failure(channel, plans, port)) is Transient


@pytest.mark.parametrize("channel", TELL)
def test_where_nobody_is_it_is_told_at_once(plans, channel):
    assert type(failure(channel, plans, dead_port())) is Transient


def test_silence_is_told_in_time(plans):
    channels(plans)
    began = time.monotonic()
    with silent() as port:
        jobs = {channel: partial(failure, channel, plans, port) for channel in TELL}
        jobs["smtp"] = partial(mail.send, plans.plan, channels(plans, smtp=port).email, DOWN, SUBSCRIBER)
        errors = ask_all(jobs, 5 * TIMEOUT_S)
    assert {channel: type(error) for channel, error in errors.items()} == dict.fromkeys(jobs, Transient)
    assert time.monotonic() - began < 5 * TIMEOUT_S


@pytest.mark.parametrize("channel", TELL)
def test_a_stranger_is_told_nothing(plans, channel, tmp_path):
    with answering(Plans(tmp_path).tls, (200, "", {})) as (port, asked):
        assert type(failure(channel, plans, port)) is Transient
    assert asked == []


def secrets_of(channel):
    text = SECRETS[{"sms": "amazon", "email": "amazon"}.get(channel, channel)]
    return list(json.loads(text).values()) if text.startswith("{") else [text]


@pytest.mark.parametrize("channel", TELL)
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_an_answer_that_repeats_secrets_is_masked_and_nothing_is_logged(plans, channel, status, caplog):
    caplog.set_level(logging.DEBUG)
    kept = [*secrets_of(channel), SUBSCRIBER, NUMBER]
    with answering(plans.tls, answer_of(channel, status, f"no: {' '.join(kept)}")) as (port, asked):
        error = failure(channel, plans, port)
    assert len(asked) == 1
    whose = {"sms": [SUBSCRIBER], "email": [NUMBER]}.get(channel, [SUBSCRIBER, NUMBER])
    told = "".join(traceback.format_exception(error)) + caplog.text
    assert not [secret for secret in kept if secret in told and secret not in whose]


@pytest.mark.parametrize(("answer", "kind"), [("451 later", Transient), ("550 no {} here", Permanent)])
def test_smtps_codes_tell_what_may_pass_and_nobody_whose_address_it_is(plans, box, answer, kind):
    def refuse(self, to):
        self.say(answer.format(to.partition("<")[2].partition(">")[0]))

    picky = type("Picky", (Session,), {"on_rcpt": refuse})
    with mail_server(box, session=picky) as port, pytest.raises(kind) as caught:
        mail.send(plans.plan, channels(plans, smtp=port).email, DOWN, SUBSCRIBER)
    assert SUBSCRIBER not in str(caught.value)
    if kind is Permanent:
        assert "crisis_communication.channels.email" in caught.value.hint


def test_credentials_that_are_none_are_not_repeated(plans):
    settings = channels(plans)
    for text in ("hush-hush", '["hush-hush"]', '{"hush-hush": 1}'):
        plans.write("x", text)
        with pytest.raises(Permanent, match="malformed") as caught:
            x.publish(plans.plan, settings.x, DOWN)
        assert "hush-hush" not in "".join(traceback.format_exception(caught.value))


def test_the_edge_keeps_no_secret(plans, ports, box):
    settings = channels(plans, *ports)
    statuspage.publish(plans.plan, settings.statuspage, DOWN)
    x.publish(plans.plan, settings.x, DOWN)
    linkedin.publish(plans.plan, settings.linkedin, DOWN)
    sms.send(plans.plan, settings.sms, DOWN, NUMBER)
    mail.send(plans.plan, by_ses(plans, ports[0]), DOWN, SUBSCRIBER)
    kept = box.read_text()
    assert len(list(messages(box))) == 5
    for channel in TELL:
        assert not [secret for secret in secrets_of(channel) if secret in kept]
