"""How far a recovery has come is shown while it runs, and never holds it up."""

import time
from inspect import isfunction
from threading import Barrier

import pytest
from prefect import Flow, flow
from pydantic import BaseModel
from third_parties import INCIDENT

import deployments.offline
import tasks.step
from deployments.offline import Record
from deployments.run import run
from flows import fail_over, recover_cold, switch_over
from tasks.course import followed
from tasks.errors import Permanent, Transient
from tasks.policy.course_words import Stand, course_words, done_words, share_done, stopped_words
from tasks.progress import shown
from tasks.step import step

DONE, COMING = Stand("done"), Stand()
STEPS = {
    "assess": DONE,
    "fence": Stand("under way", "the leader key is held"),
    "promote": COMING,
    "redirect": COMING,
}


def test_a_glance_tells_what_is_done_what_runs_and_what_comes():
    assert share_done(STEPS) == 0.25
    assert course_words(INCIDENT, STEPS) == (
        "**1 of 4 steps done**, us-east-1 to us-west-2. Now: fence (tried again: the leader key is held). "
        "Next: promote."
    )


def test_the_end_says_who_serves_and_a_stop_says_where_and_how_to_go_on():
    assert done_words(INCIDENT, {"assess": DONE, "fence": DONE}).startswith(
        "**All 2 steps done**: us-west-2 serves"
    )
    stopped = stopped_words(INCIDENT, STEPS, "no node answers")
    assert stopped.startswith("**Stopped at fence**: no node answers. 1 of 4 steps done.")
    assert INCIDENT.id in stopped


class Found(BaseModel):
    """What a step of these tests finds."""


class Heard(Record):
    """Prefect's API with an ear for artifacts; `status` is what it answers to them."""

    status, artifacts = 201, []

    def answer(self, method, path, body):
        if not path.strip("/").startswith("artifacts"):
            return super().answer(method, path, body)
        if self.status < 400:
            self.artifacts.append(body)
        found = super().answer(method, path, body)
        return found if self.status < 400 else (self.status, {"detail": "not now"})


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setattr(tasks.step.journal, "write", lambda *_: None)
    monkeypatch.setattr(deployments.offline, "Record", Heard)
    monkeypatch.setattr(Heard, "artifacts", [])
    _tries.clear()
    return Heard


_tries = []
_together = Barrier(2)


@step("assess")
def assesses(_plan, _incident):
    time.sleep(0.4)
    return Found()


@step("fence")
def fences(_plan, _incident):
    _tries.append(1)
    if len(_tries) == 1:
        raise Transient("the leader key is held")
    time.sleep(0.8)
    return Found()


@step("promote")
def promotes(_plan, _incident, fails=False):
    if fails:
        raise Permanent("no node answers")
    return Found()


@step("look around")
def looks_around(_plan, _incident):
    return Found()


@flow
def recovers(fails: bool = False):
    with followed(INCIDENT, assesses, fences, promotes):
        beside = looks_around.submit(None, INCIDENT)
        assesses(None, INCIDENT)
        fences(None, INCIDENT)
        beside.result()
        promotes(None, INCIDENT, fails)
    return "recovered"


@step("activate service {service}")
def activates(_plan, _incident, service):
    _together.wait(20)
    time.sleep(1.5)
    return Found()


@flow
def activates_two():
    with followed(INCIDENT, assesses, also=["activate service billing", "activate service search"]):
        assesses(None, INCIDENT)
        begun = [activates.submit(None, INCIDENT, service) for service in ("billing", "search")]
        for each in begun:
            each.result()


@flow
def backs_up():
    with shown("the backup") as told:
        told(1, 2)


def seen(heard):
    return [(each["data"], each["description"]) for each in heard.artifacts]


def test_whoever_looks_finds_one_artifact_that_moves_to_its_end(heard):
    assert run(f"{__name__}.recovers", {}) == "recovered"
    first = heard.artifacts[0]
    assert (first["type"], first["key"]) == ("progress", f"progress-{INCIDENT.id.lower()}")
    assert not any(each.get("key") for each in heard.artifacts[1:]), "the others change it"
    percents = [percent for percent, _ in seen(heard)]
    assert percents == sorted(percents)
    assert any("Now: fence (tried again: the leader key is held)" in words for _, words in seen(heard))
    assert seen(heard)[-1][0] == 100
    assert "All 4 steps done" in seen(heard)[-1][1], "the one that was not foretold counts too"


def test_a_recovery_that_fails_stops_where_it_did(heard):
    with pytest.raises(Permanent, match="no node answers"):
        run(f"{__name__}.recovers", {"fails": True})
    percent, words = seen(heard)[-1]
    assert percent == 75
    assert words.startswith("**Stopped at promote**: no node answers. 3 of 4 steps done.")


def test_steps_side_by_side_are_told_apart_and_foretold(heard):
    run(f"{__name__}.activates_two", {})
    percent, words = seen(heard)[-1]
    assert (percent, words[:22]) == (100, "**All 3 steps done**: ")
    now = "Now: activate service billing, activate service search."
    assert any("1 of 3 steps done" in words and now in words for _, words in seen(heard))
    assert not any("{" in words for _, words in seen(heard))


def test_a_server_that_takes_no_artifact_does_not_hold_a_recovery_up(heard, monkeypatch):
    monkeypatch.setattr(heard, "status", 503)
    began = time.monotonic()
    assert run(f"{__name__}.recovers", {}) == "recovered"
    assert time.monotonic() - began < 20
    assert heard.artifacts == []


def test_what_is_over_before_anybody_looks_is_written_once(heard):
    run(f"{__name__}.backs_up", {})
    assert seen(heard) == [(100, "the backup")]
    assert heard.artifacts[0].get("key") is None


@pytest.mark.parametrize("module", [fail_over, recover_cold, switch_over])
def test_what_is_foretold_is_called(module):
    functions = [each.fn if isinstance(each, Flow) else each for each in vars(module).values()]
    own = [each for each in functions if isfunction(each) and each.__module__.startswith("flows.")]
    called = {name for each in own for name in each.__code__.co_names}
    steps = {name for name, each in vars(module).items() if any(each is known for known in module._STEPS)}
    assert len(steps) == len(module._STEPS)
    assert steps <= called
