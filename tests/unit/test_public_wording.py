"""How public words are checked, weighed and cut, and what the channels' settings may be."""

import random
from dataclasses import replace

import pytest
from public_parties import DOWN, LINK, WRITTEN
from pydantic import ValidationError

from tasks.clients.public.sms import segments
from tasks.clients.public.wording import checked, shortened
from tasks.clients.public.x import weight
from tasks.errors import Permanent, Refused
from tasks.plan.public_channels import PublicChannels

JAPANESE = "現在サービスが停止しています。"
FAMILY = "👩‍👩‍👧"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"subject": " "}, "subject: empty"),
        ({"text": "\n"}, "text: empty"),
        ({"subject": "a\nb"}, "subject: not one plain line"),
        ({"subject": "a\tb"}, "subject: not one plain line"),
        ({"subject": "=?utf-8?q?a?="}, "subject: not one plain line"),
        ({"subject": "a\rb"}, "subject: a control character"),
        ({"subject": "a" * 201}, "subject: 201 characters, 200 are allowed"),
        ({"text": "a" * 20_001}, "text: 20001 characters, 20000 are allowed"),
        ({"text": "a\x00b"}, "text: a control character"),
        ({"text": "a\x1b[31mb"}, "text: a control character"),
        ({"text": "a\u202eb"}, "text: a control character"),
        ({"text": "a\u2028b"}, "text: a control character"),
        ({"text": "a\ud800b"}, "text: a control character"),
        ({"text": "in [service_name]"}, "text: [service_name] is not filled"),
        ({"text": "in [Service Name]"}, "text: [Service Name] is not filled"),
        ({"text": "in [what_we_forgot]"}, "text: [what_we_forgot] is not filled"),
        ({"key": "a b"}, "key and incident"),
        ({"incident": "a\r\nb"}, "key and incident"),
        ({"language": "english please"}, "language"),
    ],
)
def test_words_that_are_not_fit_are_refused(wrong, said):
    with pytest.raises(Refused, match="not fit") as caught:
        checked(replace(DOWN, **wrong))
    assert said in caught.value.detail


def test_all_mistakes_are_told_at_once():
    with pytest.raises(Refused) as caught:
        checked(replace(DOWN, subject="", text="[start_time]", language=""))
    assert caught.value.detail.count(";") == 2


@pytest.mark.parametrize(
    "text",
    [
        "see [1] and [Resolved]",
        "\u2067اقتباس\u2069",  # noqa: RUF001
        "می\u200cخواهم",  # noqa: RUF001
        FAMILY,
        "a\tb\n\nc",
    ],
)
def test_what_only_looks_odd_is_carried(text):
    assert checked(replace(DOWN, text=text)).endswith(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", 5),
        ("", 0),
        ("サービス", 8),
        ("الخدمة", 6),
        ("é", 1),
        ("😀", 2),
        ("👍🏽", 4),
        ("©", 2),
        ("—", 1),
        ("…", 2),
        (f"{LINK}/{'x' * 200}", 23),
        (f"see {LINK}.", 4 + 23 + 1),
        ("http://a.de", 23),
        ("naas.ai", 23),
        ("1.5 s", 5),
        (f"{LINK} {LINK}", 47),
    ],
)
def test_a_post_weighs_as_x_says(text, expected):
    assert weight(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        # 153 is odd: an escaped character does not end in another part than it began in.
        ("€" * 152, 2),
        ("€" * 153, 3),
        ("あ" * 70, 1),
        ("あ" * 71, 2),
        ("あ" * 134, 2),
        ("あ" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
        ("a" * 69 + "あ", 1),
        ("a" * 70 + "あ", 2),
    ],
)
def test_a_phone_gets_as_many_parts_as_it_is_charged_for(text, expected):
    assert segments(text) == expected


FITS = {
    "x": lambda text: weight(text) <= 280,
    "sms": lambda text: segments(text) <= 2,
    "linkedin": lambda text: len(text) <= 3000,
}


@pytest.mark.parametrize("fits", FITS.values(), ids=FITS)
def test_a_text_is_cut_at_a_words_end_and_its_link_kept(fits):
    words = [f"word{number}" for number in range(1000)]
    text = f"{' '.join(words)}\nSee {LINK}."
    cut = shortened(text, fits)
    assert fits(cut)
    kept, link = cut.removesuffix(f"... {LINK}").split(" "), cut[-len(LINK) :]
    assert (kept, link) == (words[: len(kept)], LINK)
    assert not fits(f"{' '.join(words[: len(kept) + 1])}... {LINK}")


@pytest.mark.parametrize("fits", FITS.values(), ids=FITS)
def test_what_fits_is_left_alone_and_what_cannot_fit_is_refused(fits):
    assert shortened(DOWN.text, fits) == DOWN.text
    with pytest.raises(Permanent, match="however"):
        shortened("word " * 2000, lambda text: len(text) < 3)


def test_a_script_without_spaces_is_cut_between_its_signs_and_no_character_in_two():
    cut = shortened(f"Down\n{JAPANESE * 30} {LINK}", FITS["x"])
    assert cut.startswith(f"Down\n{JAPANESE}")
    assert cut.endswith(f"... {LINK}")
    assert 276 <= weight(cut) <= 280
    for unit in (FAMILY, "👍🏽", "🇩🇪", "e\u0301\u0323", "1\ufe0f\u20e3"):
        head = shortened(unit * 400, FITS["sms"]).removesuffix("...")
        assert head
        assert head.replace(unit, "") == ""


def test_a_link_before_the_cut_is_there_once_and_none_is_cut_in_two():
    text = f"{LINK} {'word ' * 200}"
    assert shortened(text, FITS["x"]).count(LINK) == 1
    long = f"{'word ' * 50}{LINK}/{'x' * 100} {'word ' * 50}"
    assert shortened(long, FITS["sms"]).endswith(f"{LINK}/{'x' * 100}")


def test_a_text_that_is_cut_fits_whatever_it_is_made_of():
    chance = random.Random(7)  # noqa: S311
    pieces = [
        "word",
        "Ünïcode",
        JAPANESE,
        "خدمة",
        FAMILY,
        "👍🏽",
        "🇩🇪",
        "€",
        "{}",
        LINK,
        "naas.ai",
        "a" * 90,
        "\n",
    ]
    for _ in range(150):
        text = "".join(
            chance.choice(pieces) + chance.choice(["", " ", ". "]) for _ in range(chance.randint(20, 120))
        )
        for fits in FITS.values():
            cut = shortened(text, fits)
            assert fits(cut)
            assert not fits(text) or cut == text
            if LINK in text:
                assert LINK in cut


@pytest.mark.parametrize(
    ("channel", "wrong"),
    [
        ("x", {"endpoint": "http://api.x.com"}),
        ("x", {"endpoint": "https://api.x.com/2"}),
        ("x", {"credentials": "the-key-itself"}),
        ("statuspage", {"page": "../other"}),
        ("statuspage", {"api_key": "the-key-itself"}),
        ("statuspage", {"outage": "operational"}),
        ("linkedin", {"version": "2026-11"}),
        ("linkedin", {"author": "naas"}),
        ("sms", {"segments": 0}),
        ("sms", {"segments": 11}),
        ("sms", {"sender": "12345"}),
        ("sms", {"sender": "much-too-long-a-name"}),
        ("sms", {"endpoint": "http://127.0.0.1"}),
        ("email", {"unsubscribe": "https://example.org/\r\nBcc: x"}),
        ("email", {"unsubscribe": "https://example.org/>, <https://other.example"}),
        ("email", {"ses": {"region": "eu-west-1", "credentials": "file:secrets/amazon"}}),
        ("email", {"smtp": None}),
        ("email", {"surprise": 1}),
    ],
)
def test_settings_that_are_wrong_are_refused(channel, wrong):
    assert PublicChannels.model_validate(WRITTEN)
    with pytest.raises(ValidationError, match=channel):
        PublicChannels.model_validate(WRITTEN | {channel: WRITTEN[channel] | wrong})


def test_what_is_read_is_written_the_same():
    found = PublicChannels.model_validate(WRITTEN)
    assert PublicChannels.model_validate(found.model_dump(mode="json")) == found
    assert PublicChannels() == PublicChannels.model_validate({})
