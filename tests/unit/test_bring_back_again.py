"""A bring-back that is done again keeps what the first one saved: its node may have been rewound since."""

from types import SimpleNamespace

import pytest

import tasks.rejoin
import tasks.step
from tasks.errors import Permanent
from tasks.facts.incident import Incident
from tasks.facts.loss import Divergence
from tasks.facts.recovery import Promotion

NOON = "2026-01-01T12:00:00Z"
NODES = {name: SimpleNamespace(address=name) for name in ("db-a", "db-b")}
PLAN = SimpleNamespace(
    sites={"east": SimpleNamespace(running=lambda _: NODES, addresses=lambda _: list(NODES), hosts=NODES)}
)
INCIDENT = Incident.model_validate(
    {"id": "i1", "service": "s", "failed_site": "east", "to_site": "west", "epoch": 1, "reason": "",
     "detected_at": NOON, "triggered_at": NOON, "resumed": True}
)  # fmt: skip
PROMOTION = Promotion.model_validate(
    {"node": "w", "address": "w", "first_write_at": NOON, "timeline": 2, "old_timeline": 1,
     "fork_lsn": "0/1", "next_xid": 7, "last_commit": None}
)  # fmt: skip


@pytest.fixture
def old_site(monkeypatch):
    """The commits that each node still has behind the fork, who is a primary, and the journal."""
    site = SimpleNamespace(commits={"db-a": 3, "db-b": 1}, primaries=set(), records={})
    of = tasks.rejoin

    def commits_after(_plan, _site, host, *_):
        return [SimpleNamespace(xid=n, subxids=(), at=NOON) for n in range(site.commits[host])]

    def rows_of(_plan, _site, host, xids):
        return [tasks.rejoin.rescue.SavedRow("t", xid, {"id": xid, "of": host}) for xid in xids]

    monkeypatch.setattr(of.patroni, "has_own_dcs", lambda *_: False)
    monkeypatch.setattr(
        of.postgres, "position", lambda _, address: SimpleNamespace(in_recovery=address not in site.primaries)
    )
    monkeypatch.setattr(
        of.waldump, "segments_from", lambda _p, _s, host, *_: ["1"] * (site.commits[host] > 0)
    )
    monkeypatch.setattr(of.waldump, "commits_after", commits_after)
    monkeypatch.setattr(of.waldump, "read_segment", lambda _p, _s, host, _: host.encode())
    monkeypatch.setattr(of.rescue, "rows_of", rows_of)
    monkeypatch.setattr(of.ledger, "acknowledged", lambda _: None)
    journal = SimpleNamespace(
        write=lambda _p, _s, _i, name, data: site.records.update({name: data}),
        read_all=lambda _p, _i, start: [v for k, v in sorted(site.records.items()) if k.startswith(start)],
    )
    monkeypatch.setattr(of, "journal", journal)
    monkeypatch.setattr(tasks.step, "journal", journal)
    return site


def save() -> Divergence:
    return tasks.rejoin.save_divergence.fn(PLAN, INCIDENT, PROMOTION)


def saved(site):
    return {name: data for name, data in site.records.items() if name.startswith("diverged/")}


def test_what_was_saved_is_not_overwritten_by_the_less_that_is_left(old_site):
    first, before = save(), saved(old_site)
    assert (first.node, first.commits) == ("db-a", 3)
    assert len(before["diverged/rows.jsonl"].splitlines()) == 3
    old_site.commits["db-a"] = 0
    assert save() == first
    assert saved(old_site) == before


def test_what_was_not_recorded_is_read_anew(old_site):
    old_site.commits["db-a"] = 0
    assert save().node == "db-b"
    assert saved(old_site)["diverged/wal/1"] == b"db-b"


def test_a_second_primary_is_refused_also_the_second_time(old_site):
    save()
    old_site.primaries.add("db-a")
    with pytest.raises(Permanent, match="db-a is not a standby"):
        save()
