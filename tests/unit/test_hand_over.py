"""A hand-over is proven once; what comes later neither repeats it nor gives both sites the writes."""

from types import SimpleNamespace

import pytest

import tasks.hand_over
from tasks.clients.truth import Truth
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.incident import Incident
from tasks.facts.move import Handover

EAST, WEST = "us-east-1", "us-west-2"
NOON = "2026-01-01T12:00:00Z"
CASE = Incident.model_validate(
    {
        "id": "inc-1", "service": "naas-api", "failed_site": EAST, "to_site": WEST, "epoch": 7,
        "reason": "a test", "detected_at": NOON, "triggered_at": NOON, "kind": "switchover", "resumed": True,
    }
)  # fmt: skip
PROVEN = {"node": "a", "told_at": NOON, "final_lsn": "0/5", "received_lsn": "0/5"}
HANDED = Handover.model_validate(PROVEN)


class World:
    """Both sites of a move that an earlier run has begun, and what is on record."""

    def __init__(self):
        self.results = {"hand over PostgreSQL": PROVEN, "hand over Redis": {"master": "there"}}
        self.promoted, self.proof, self.stale = False, None, False
        self.acts, self.now = [], 0.0

    def require_epoch(self, _plan, mine):
        assert mine == Truth(active=WEST, epoch=7, incident=CASE.id)
        if self.stale:
            raise Refused("this run is stale")

    def follows(self, *_):
        if self.proof is None:
            raise Transient("the old site does not answer")
        return self.proof

    def sleep(self, seconds):
        self.now += seconds

    def hand_over(self, case=CASE):
        return tasks.hand_over.hand_over_postgresql.fn.__wrapped__(None, case)

    def hand_over_redis(self):
        return tasks.hand_over.hand_over_redis.fn.__wrapped__(None, CASE)


@pytest.fixture
def world(monkeypatch):
    world, of = World(), tasks.hand_over
    monkeypatch.setattr(of, "require_epoch", world.require_epoch)
    monkeypatch.setattr(of, "first_result", lambda _plan, _case, title: world.results.get(title))
    monkeypatch.setattr(of, "may_be_promoted", lambda *_: world.promoted)
    monkeypatch.setattr(of, "_stopped", lambda *_: None)
    monkeypatch.setattr(of, "_follows", world.follows)
    monkeypatch.setattr(of, "abandon", lambda *_: world.acts.append("abandon"))
    monkeypatch.setattr(of.patroni, "read_config", lambda *_: {"standby_cluster": {"host": "there"}})
    monkeypatch.setattr(of.patroni, "promote", lambda _, site: world.acts.append(f"promote {site}"))
    monkeypatch.setattr(of.cache, "hand_over", lambda *_: world.acts.append("Redis") or "again")
    monkeypatch.setattr(of, "time", SimpleNamespace(monotonic=lambda: world.now, sleep=world.sleep))
    return world


def promoted_on_record(world):
    world.results["promote PostgreSQL"] = {"node": "b"}


def promoted_before_it_was_written_down(world):
    world.promoted = True


@pytest.mark.parametrize("so", [promoted_on_record, promoted_before_it_was_written_down])
def test_once_the_other_site_is_promoted_what_was_proven_stands_though_the_old_one_is_gone(world, so):
    so(world)
    assert world.hand_over() == HANDED
    assert world.hand_over_redis().master == "there"
    assert (world.acts, world.now) == ([], 0.0)


def test_before_the_promotion_a_resumed_run_proves_it_again(world):
    world.proof = HANDED.model_copy(update={"node": "now"})
    assert world.hand_over().node == "now"
    assert world.hand_over_redis().master == "again"


def test_a_hand_over_that_is_not_seen_is_undone(world):
    with pytest.raises(Permanent, match="was not handed over within 30 s"):
        world.hand_over()
    assert world.acts == [f"promote {EAST}", "abandon"]


def test_it_is_not_undone_where_the_other_site_may_take_writes(world):
    world.results.clear()
    world.promoted = True
    with pytest.raises(Permanent, match=f"{WEST} may take writes already"):
        world.hand_over()
    assert world.acts == []


def test_it_is_not_undone_by_a_run_that_is_stale_by_then(world, monkeypatch):
    monkeypatch.setattr(world, "sleep", lambda seconds: setattr(world, "stale", True))
    monkeypatch.setattr(
        tasks.hand_over, "time", SimpleNamespace(monotonic=lambda: 40.0 * world.stale, sleep=world.sleep)
    )
    with pytest.raises(Refused, match="stale"):
        world.hand_over()
    assert world.acts == []


def test_the_old_primary_is_not_told_to_stop_by_a_run_that_is_stale_after_the_checkpoint(world, monkeypatch):
    of = tasks.hand_over
    monkeypatch.setattr(of.patroni, "read_config", lambda *_: {})
    monkeypatch.setattr(of.patroni, "leader", lambda *_: SimpleNamespace(host="here"))
    monkeypatch.setattr(of.patroni, "demote", lambda *_: world.acts.append("demote"))
    monkeypatch.setattr(of.postgres, "checkpoint", lambda *_: setattr(world, "stale", True))
    monkeypatch.setattr(of.postgres, "position", lambda *_: SimpleNamespace(lsn="0/4"))
    with pytest.raises(Refused, match="stale"):
        world.hand_over(CASE.model_copy(update={"resumed": False}))
    assert world.acts == []
