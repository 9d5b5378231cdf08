"""A thousand hostile bodies at the door: each is understood or refused, and nothing else becomes of it."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from test_notice_formats import HEALTHY, ODD, changed, places
from test_notices import BEARER, PLAN, _prefect, prefect, serving  # noqa: F401 -- fixtures

from deployments.notices import Allowance

BODIES = 1000
UNDERSTOOD, REFUSED = {200, 202}, {413, 422}


def of_today(body):
    """The same body, of ten minutes ago."""
    ago = f"{datetime.now(UTC) - timedelta(minutes=10):%Y-%m-%dT%H:%M}"[:-1]
    return json.loads(json.dumps(body).replace("2026-11-25T11:5", ago))


def spoilt(dice, body):
    """A body with odd values in some places; now and then its bytes are torn as well."""
    for _ in range(dice.randrange(4)):
        path = dice.choice(list(places(body)))
        body = changed([body], (0, *path), dice.choice(ODD))[0]
    sent = bytearray(json.dumps(body).encode())
    if dice.random() < 0.3:
        for _ in range(dice.randrange(1, 6)):
            sent[dice.randrange(len(sent))] = dice.randrange(256)
    return bytes(sent)


@pytest.fixture(scope="module")
def hostile():
    dice = random.Random(6)  # noqa: S311 -- the same bodies every time
    sound = [(name, of_today(body)) for name, body, _ in HEALTHY.values()]
    return [(name, spoilt(dice, body)) for name, body in (dice.choice(sound) for _ in range(BODIES))]


@pytest.fixture(scope="module")
def door(_prefect):  # noqa: F811
    with serving(_prefect.api, Allowance(10 * BODIES)) as client:
        yield client


def post(door, name, body, headers=BEARER):
    media = {"Content-Type": "application/json"}
    return door.post(f"/notices/{name}", content=body, headers={**headers, **media})


def test_each_is_understood_or_refused_and_a_run_gets_plain_values_only(door, prefect, hostile):  # noqa: F811
    codes = [post(door, name, body).status_code for name, body in hostile]
    assert set(codes) <= UNDERSTOOD | REFUSED
    # Neither door is always shut nor always open.
    assert min(codes.count(202), codes.count(422)) > BODIES / 20
    for _, _, body in prefect.asked:
        told = body["parameters"]
        assert told["site"] in PLAN.sites
        assert told["source"] == "external_notification"
        assert all(text.isprintable() and len(text) <= 300 for text in (told["reason"], told["evidence"]))
        assert datetime.fromisoformat(told["detected_at"]) <= datetime.now(UTC) + timedelta(minutes=1)


def test_from_a_stranger_none_of_them_starts_anything(door, prefect, hostile):  # noqa: F811
    assert {post(door, name, body, {}).status_code for name, body in hostile} == {401}
    assert prefect.asked == []


def test_sent_again_they_start_nothing_new(door, prefect, hostile):  # noqa: F811
    sent = [each for each in hostile if post(door, *each).status_code == 202]
    started = dict(prefect.runs)
    assert started
    for each in sent:
        assert {run["flow_run_id"] for run in post(door, *each).json()["runs"]} <= set(started.values())
    assert prefect.runs == started
