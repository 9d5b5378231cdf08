"""An abort releases the old site only where the other is not promoted, nor will be; one that died goes on."""

from types import SimpleNamespace

import pytest

import tasks.abort
import tasks.clients.promotion
import tasks.promote
import tasks.redirect
from tasks.clients.truth import Truth
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.incident import Incident
from tasks.facts.response import Decision

EAST, WEST = "us-east-1", "us-west-2"
STANDBY = {"standby_cluster": {"host": "there"}}
CASE = Incident.model_validate(
    {
        "id": "inc-1", "service": "naas-api", "failed_site": EAST, "to_site": WEST, "epoch": 7,
        "reason": "a test", "detected_at": "2026-01-01T12:00:00Z", "triggered_at": "2026-01-01T12:00:00Z",
    }
)  # fmt: skip
DECLARED = Decision(outcome="declared", why="", votes=(), at=CASE.detected_at)


class World:
    """Two sites and the records of an incident that moves the service from one to the other."""

    def __init__(self):
        self.truth = Truth(active=WEST, epoch=7, incident=CASE.id, previous=EAST, done=False)
        self.records = {"incident.json": CASE.model_dump_json(), "decision.json": DECLARED.model_dump_json()}
        self.target, self.in_recovery, self.silent = STANDBY, True, False
        self.released, self.redis, self.meanwhile = [], [], lambda: None
        self.release_fails = 0

    def read(self, _plan, _incident, name, _failed_site=""):
        return self.records.get(name)

    def write(self, _plan, _failed_site, _incident, name, data):
        self.records[name] = data

    def read_config(self, *_):
        if isinstance(self.target, Exception):
            raise self.target
        return self.target

    def position(self, *_):
        if self.silent:
            raise Transient("it does not answer")
        return SimpleNamespace(in_recovery=self.in_recovery)

    def abandon(self, _plan, mine):
        assert (mine.epoch, mine.incident, self.truth.done) == (self.truth.epoch, CASE.id, False)
        self.truth = Truth(active=EAST, epoch=8, incident=CASE.id, previous=WEST, done=True)

    def release(self, _plan, site):
        if self.release_fails:
            self.release_fails -= 1
            raise Transient("etcd has no quorum")
        self.released.append(site)

    def abort(self):
        return tasks.abort.abort.fn(None, CASE.id, "a test")


@pytest.fixture
def world(monkeypatch):
    world = World()
    for name in ("read_config", "leader", "release", "has_own_dcs"):
        known = {"leader": lambda *_: SimpleNamespace(host="there"), "has_own_dcs": lambda *_: False}
        monkeypatch.setattr(tasks.clients.patroni, name, known.get(name) or getattr(world, name))
    monkeypatch.setattr(tasks.clients.promotion.postgres, "position", world.position)
    monkeypatch.setattr(tasks.abort, "journal", world)
    monkeypatch.setattr(tasks.abort, "read_truth", lambda _: (world.truth, 1))
    monkeypatch.setattr(tasks.abort, "abandon", world.abandon)
    monkeypatch.setattr(tasks.abort, "_return_redis", lambda _, case: world.redis.append(case.failed_site))
    monkeypatch.setattr(tasks.abort, "time", SimpleNamespace(sleep=lambda _: world.meanwhile()))
    return world


def aborted(world):
    decision = Decision.model_validate_json(world.records["decision.json"])
    done = world.truth.done and world.truth.active == EAST
    return done and world.released == [EAST] and world.redis == [EAST] and decision.outcome == "refused"


def test_one_that_promoted_nothing_is_undone_also_where_the_target_is_silent(world):
    world.silent = True
    assert "takes writes again" in world.abort()
    assert aborted(world)


def test_a_target_that_was_never_bootstrapped_cannot_be_promoted(world):
    world.target = Permanent("no Patroni configuration")
    world.abort()
    assert aborted(world)


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "still replaying"])
def test_a_target_that_was_told_to_lead_and_does_not_yet_is_not_left(world, silent):
    world.target, world.silent = {"ttl": 20}, silent
    with pytest.raises(Refused, match="being promoted"):
        world.abort()
    assert not world.truth.done
    assert not world.released


def test_a_target_that_leads_is_not_left(world):
    world.in_recovery = False
    with pytest.raises(Refused, match="being promoted"):
        world.abort()
    assert not world.released


def test_a_target_of_which_nothing_can_be_told_is_not_left(world):
    world.target = Transient("no Patroni node answers")
    with pytest.raises(Transient):
        world.abort()
    assert not world.truth.done
    assert not world.released


def test_a_target_that_is_told_to_lead_meanwhile_leaves_the_source_fenced(world):
    world.meanwhile = lambda: setattr(world, "target", {"ttl": 20})
    with pytest.raises(Permanent, match="was promoted while"):
        world.abort()
    assert not world.released


@pytest.mark.parametrize("decided", [True, False], ids=["declared", "without an alarm"])
def test_an_abort_that_died_is_finished_once(world, decided):
    if not decided:
        del world.records["decision.json"]
    world.release_fails = 1
    with pytest.raises(Transient):
        world.abort()
    assert world.truth.done
    assert not world.released
    world.abort()
    assert aborted(world)
    with pytest.raises(Refused, match="is not open"):
        world.abort()


def test_an_abort_that_died_does_not_release_a_site_whose_target_leads_by_now(world):
    world.release_fails = 1
    with pytest.raises(Transient):
        world.abort()
    world.target = {"ttl": 20}
    with pytest.raises(Permanent, match="was promoted while"):
        world.abort()
    assert not world.released


@pytest.mark.parametrize(
    "truth",
    [
        Truth(active=WEST, epoch=7, incident=CASE.id, previous=EAST, done=True),
        Truth(active=EAST, epoch=9, incident="inc-2", previous=WEST, done=True),
    ],
    ids=["it has ended", "another came after it"],
)
def test_what_has_ended_is_not_taken_for_an_abort_that_died(world, truth):
    world.truth = truth
    with pytest.raises(Refused, match="is not open"):
        world.abort()
    assert not world.released


def test_a_site_that_a_later_incident_may_have_fenced_is_not_released(world):
    later = Truth(active=WEST, epoch=9, incident="inc-2", previous=EAST, done=False)
    world.meanwhile = lambda: setattr(world, "truth", later)
    with pytest.raises(Refused, match="inc-2 began"):
        world.abort()
    assert not world.released


def aborted_meanwhile():
    """Another run gives the incident up while the step waits for its site's leader."""
    seen = []

    def require_epoch(_plan, mine):
        if seen:
            raise Refused("this run is stale")
        seen.append(mine.epoch)

    return require_epoch


@pytest.mark.usefixtures("world")
def test_a_promotion_looks_at_the_epoch_directly_before_its_act(monkeypatch):
    told = []
    monkeypatch.setattr(tasks.promote, "require_epoch", aborted_meanwhile())
    monkeypatch.setattr(tasks.promote.patroni, "promote", lambda *_: told.append(WEST))
    with pytest.raises(Refused, match="stale"):
        tasks.promote.promote_postgresql.fn.__wrapped__(None, CASE)
    assert not told


@pytest.mark.parametrize(
    ("module", "step", "act"),
    [
        (tasks.promote, tasks.promote.promote_redis, (tasks.promote.redis_site, "take_over")),
        (tasks.redirect, tasks.redirect.redirect_traffic, (tasks.redirect.traffic, "move")),
    ],
)
def test_a_stale_run_neither_promotes_redis_nor_moves_users(monkeypatch, module, step, act):
    def stale(_plan, mine):
        assert (mine.epoch, mine.incident) == (7, CASE.id)
        raise Refused("this run is stale")

    monkeypatch.setattr(module, "require_epoch", stale)
    monkeypatch.setattr(*act, lambda *_: pytest.fail("it acted"))
    plan = SimpleNamespace(service=SimpleNamespace(endpoint=SimpleNamespace(shift=None)))
    with pytest.raises(Refused, match="stale"):
        step.fn.__wrapped__(plan, CASE)
