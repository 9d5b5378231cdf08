"""Each channel against a real server: what arrives, what is tried again by whom, and what is never told."""

import json
import logging
import time
import traceback
from base64 import b64decode

import pytest
from third_parties import ADDRESS, Plans, answering, dead_port, mail_server, silent

from infra.edge.edge import serving
from infra.edge.inbox import messages
from infra.edge.smtp import Session
from tasks.clients.channels import mail, pagerduty, slack
from tasks.clients.channels.failures import TIMEOUT_S, Busy
from tasks.clients.channels.message import Message
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.communication import Email

OPENED = Message("opened", "critical", "inc-1", "Disruption - naas & co", "It <broke>.\nSorry.", "inc-1")
OVER = Message("recovered", "info", "inc-1", "Restored - naas", "It works.", "inc-1")
TAKEN = {
    "pagerduty": (202, json.dumps({"status": "success", "dedup_key": "inc-1"}), {}),
    "slack": (200, "ok", {}),
}
SENDERS = {"pagerduty": pagerduty.send, "slack": slack.send}


@pytest.fixture
def edge(plans, box):
    """Everything works; a plan whose channels lead there."""
    with serving(ADDRESS, (0, 0), plans.tls, box) as (web, smtp):
        yield plans.leading(web, web, smtp)


def failure(send, plan, message=OPENED):
    with pytest.raises(DrError) as caught:
        send(plan, message)
    return caught.value


def test_pagerduty_is_told_of_one_alert_and_of_its_end(edge, box):
    assert [pagerduty.send(edge, OPENED), pagerduty.send(edge, OVER)] == ["inc-1", "inc-1"]
    opened, over = messages(box)
    assert (opened["action"], opened["key"], opened["severity"]) == ("trigger", "inc-1", "critical")
    assert (opened["subject"], opened["text"]) == (OPENED.subject, OPENED.text)
    assert (over["action"], over["key"]) == ("resolve", "inc-1")


def test_slack_is_told_by_webhook_with_its_control_characters_escaped(edge, box):
    assert slack.send(edge, OPENED) == "ok"
    [message] = messages(box)
    text = "*Disruption - naas &amp; co*\nIt &lt;broke&gt;.\nSorry.\ninc-1: opened"
    assert (message["channel"], message["text"]) == ("slack", text)


def test_slack_is_told_by_the_web_api_where_there_is_a_token(plans, edge, box):
    port = int(edge.notifications.slack.endpoint.rpartition(":")[2])
    plans.write("slack_token", "xoxb-the-token")
    plan = plans.leading(slack=port, slack_settings={"token": "file:secrets/slack_token"})
    assert slack.send(plan, OPENED) == "1700000000.000100"
    [message] = messages(box)
    assert message["to"] == plan.notifications.slack.channel


@pytest.mark.parametrize(("said", "kind"), [("channel_not_found", Permanent), ("ratelimited", Transient)])
def test_what_slacks_web_api_refuses_with_status_200_is_a_failure(plans, said, kind):
    plans.write("slack_token", "xoxb-the-token")
    answer = (200, json.dumps({"ok": False, "error": said, "token": "xoxb-the-token"}), {})
    with answering(plans.tls, answer) as (port, asked):
        plan = plans.leading(slack=port, slack_settings={"token": "file:secrets/slack_token"})
        error = failure(slack.send, plan)
    assert type(error) is kind
    assert said in error.detail
    assert len(asked) == 1


def test_mail_is_encrypted_where_that_is_offered(edge, box):
    settings = edge.notifications.email
    receipt = mail.send(edge, OPENED)
    [message] = messages(box)
    assert message["encrypted"]
    assert message["to"] == [settings.to]
    assert (message["subject"], message["text"].strip()) == (OPENED.subject, OPENED.text)
    assert receipt == message["id"] == f"<inc-1.opened@{settings.sender.rpartition('@')[2]}>"


def test_mail_without_tls_stays_on_this_machine(plans, box, monkeypatch):
    with mail_server(box) as port:
        plan = plans.leading(email=port)
        mail.send(plan, OPENED)
        monkeypatch.setattr(Email, "on_this_machine", False)
        assert isinstance(failure(mail.send, plan), Permanent)
    [message] = messages(box)
    assert not message["encrypted"]


def test_a_smarthost_elsewhere_must_prove_who_it_is(plans, box, monkeypatch, tmp_path):
    monkeypatch.setattr(Email, "on_this_machine", False)
    with mail_server(box, plans.tls) as port:
        mail.send(plans.leading(email=port), OPENED)
    stranger = Plans(tmp_path)
    with mail_server(box, stranger.tls) as port:
        assert "CERTIFICATE_VERIFY_FAILED" in failure(mail.send, plans.leading(email=port)).detail
    assert len(list(messages(box))) == 1


class Guarded(Session):
    """Takes mail of one user only."""

    def on_ehlo(self, _name):
        self.say("250-edge", "250 AUTH PLAIN")

    def on_auth(self, rest):
        user, password = b64decode(rest.partition(" ")[2]).decode().split("\0")[1:]
        self.say("235 welcome" if (user, password) == ("dr", "right-pass") else f"535 no {password} here")


LOGIN = {"user": "dr", "password": "file:secrets/smtp_password"}


def test_a_smarthost_that_wants_a_login_gets_it_and_a_wrong_one_is_not_told(plans, box):
    with mail_server(box, session=Guarded) as port:
        plans.write("smtp_password", "right-pass")
        plan = plans.leading(email=port, email_settings=LOGIN)
        mail.send(plan, OPENED)
        plans.write("smtp_password", "wrong-pass")
        error = failure(mail.send, plan)
    assert isinstance(error, Permanent)
    assert "535 no *** here" in error.detail
    assert len(list(messages(box))) == 1


@pytest.mark.parametrize(("answer", "kind"), [("451 later", Transient), ("550 never", Permanent)])
def test_smtps_codes_tell_what_may_pass(plans, box, answer, kind):
    picky = type("Picky", (Session,), {"on_rcpt": lambda self, _to: self.say(answer)})
    with mail_server(box, session=picky) as port:
        error = failure(mail.send, plans.leading(email=port))
    assert type(error) is kind
    assert answer in error.detail


@pytest.mark.parametrize("channel", SENDERS)
@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (429, {"Retry-After": 7}, Busy),
        (500, {}, Transient),
        (503, {}, Transient),
        (400, {}, Permanent),
        (401, {}, Permanent),
        (404, {}, Permanent),
    ],
)
def test_an_answer_says_once_whether_the_same_may_be_tried_again(plans, channel, status, headers, kind):
    with answering(plans.tls, (status, "the words", headers)) as (port, asked):
        error = failure(SENDERS[channel], plans.leading(**{channel: port}))
    assert type(error) is kind
    assert str(status) in error.detail
    # The libraries' own retries are off: nobody but the caller knows how long there is time.
    assert len(asked) == 1
    if kind is Busy:
        assert error.seconds == 7


def test_a_redirect_is_no_answer_of_pagerdutys(plans):
    with answering(plans.tls, (302, "", {"Location": "/elsewhere"})) as (port, asked):
        assert isinstance(failure(pagerduty.send, plans.leading(pagerduty=port)), Permanent)
    assert len(asked) == 1


@pytest.mark.parametrize("channel", SENDERS)
def test_a_success_that_is_not_the_third_partys_is_none(plans, channel):
    with answering(plans.tls, (200, "<html>please log in</html>", {})) as (port, _):
        assert isinstance(failure(SENDERS[channel], plans.leading(**{channel: port})), Transient)


@pytest.mark.parametrize("channel", [*SENDERS, "email"])
def test_nobody_there_is_told_at_once_and_silence_in_time(plans, channel):
    send = SENDERS.get(channel, mail.send)
    assert type(failure(send, plans.leading(**{channel: dead_port()}))) is Transient
    with silent() as port:
        began = time.monotonic()
        error = failure(send, plans.leading(**{channel: port}))
    assert type(error) is Transient
    assert time.monotonic() - began < TIMEOUT_S + 2


@pytest.mark.parametrize("channel", SENDERS)
def test_a_stranger_is_told_nothing(plans, channel, tmp_path):
    stranger = Plans(tmp_path)
    with answering(stranger.tls, TAKEN[channel]) as (port, asked):
        assert isinstance(failure(SENDERS[channel], plans.leading(**{channel: port})), Transient)
    assert asked == []


@pytest.mark.parametrize("channel", SENDERS)
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_an_answer_that_repeats_the_secret_is_masked_and_nothing_is_logged(plans, channel, status, caplog):
    names = {"pagerduty": "pagerduty_routing_key", "slack": "slack_webhook"}
    plan = plans.leading()
    secret = {"pagerduty": plans.secret(names[channel]).strip(), "slack": "the-secret-of-the-webhook"}[
        channel
    ]
    said = secret if channel == "pagerduty" else f"/services/T0/B0/{secret}"
    caplog.set_level(logging.DEBUG)
    with answering(plans.tls, (status, f"no: {said}", {})) as (port, asked):
        plan = plans.leading(**{channel: port})
        error = failure(SENDERS[channel], plan)
    assert len(asked) == 1
    assert secret not in "".join(traceback.format_exception(error))
    assert secret not in caplog.text
    assert "no: ***" in error.detail.replace("/***", "***")


@pytest.mark.parametrize(
    "webhook", ["hooks.slack.com/hush-hush", "http://127.0.0.10:9/hush-hush", "https://[hush-hush"]
)
def test_a_webhook_that_is_none_is_not_repeated(plans, webhook, caplog):
    caplog.set_level(logging.DEBUG)
    plan = plans.leading()
    plans.write("slack_webhook", webhook)
    error = failure(slack.send, plan)
    assert isinstance(error, Permanent)
    assert "hush-hush" not in "".join(traceback.format_exception(error)) + caplog.text


def test_a_dead_webhook_leaves_no_trace_of_itself(plans, caplog):
    caplog.set_level(logging.DEBUG)
    error = failure(slack.send, plans.leading(slack=dead_port()))
    assert "the-secret" not in "".join(traceback.format_exception(error)) + caplog.text


def test_the_edge_refuses_what_pagerduty_would(plans, edge, box):
    wrong = Message("opened", "critical", "inc-1", "", "no summary", "inc-1")
    assert "payload.summary" in failure(pagerduty.send, edge, wrong).detail
    assert list(messages(box)) == []


def test_the_edge_keeps_no_secret(plans, edge, box):
    for send in (pagerduty.send, slack.send, mail.send):
        send(edge, OPENED)
    kept = box.read_text()
    assert len(list(messages(box))) == 3
    for secret in (plans.secret("pagerduty_routing_key").strip(), "the-secret-of-the-webhook"):
        assert secret not in kept
