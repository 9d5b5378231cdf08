"""Which incident a bring-back is of: the latest that promoted something, or the one that is asked for."""

import json

import pytest

import tasks.declare
from tasks.errors import Refused
from tasks.facts.incident import Incident
from tasks.facts.recovery import Promotion

NOON = "2026-01-01T12:00:00Z"
PROMOTION = {
    "node": "a", "address": "::1", "first_write_at": NOON, "timeline": 2, "old_timeline": 1,
    "fork_lsn": "0/1", "next_xid": 7, "last_commit": None,
}  # fmt: skip


class Journal:
    """Incidents, oldest first, and whether each promoted something."""

    def __init__(self, **promoted):
        self.promoted = promoted

    def incidents(self, _plan, having):
        assert having == "incident.json"
        return list(self.promoted)

    def read(self, _plan, name, record):
        assert record == "incident.json"
        told = {"id": name, "service": "s", "failed_site": "east", "to_site": "west", "epoch": 1,
                "reason": "", "detected_at": NOON, "triggered_at": NOON}  # fmt: skip
        return Incident.model_validate(told).model_dump_json() if name in self.promoted else None

    def read_all(self, _plan, name, prefix):
        assert prefix == "steps/"
        step = {"name": "assess", "started": NOON, "ended": NOON, "outcome": "done", "attempts": 1}
        done = [step, step | {"name": "promote PostgreSQL", "result": PROMOTION}]
        return [json.dumps(each) for each in done[: 2 if self.promoted.get(name) else 1]]


@pytest.fixture
def find(monkeypatch):
    def found(journal, incident=None):
        monkeypatch.setattr(tasks.declare, "journal", journal)
        return tasks.declare.finished_incident.fn(None, incident)

    return found


def test_one_that_was_refused_or_abandoned_is_not_in_the_way_of_the_last_that_promoted(find):
    case, promotion = find(Journal(i1=True, i2=True, i3=False))
    assert (case.id, case.resumed) == ("i2", True)
    assert promotion == Promotion.model_validate(PROMOTION)


def test_one_that_is_asked_for_must_have_promoted(find):
    assert find(Journal(i1=True, i2=True), "i1")[0].id == "i1"
    with pytest.raises(Refused, match="i2 promoted nothing yet"):
        find(Journal(i1=True, i2=False), "i2")


@pytest.mark.parametrize("journal", [Journal(), Journal(i1=False)])
def test_without_any_it_is_refused(find, journal):
    with pytest.raises(Refused, match="no such incident"):
        find(journal)


def test_one_that_is_not_known_is_refused(find):
    with pytest.raises(Refused, match="no such incident"):
        find(Journal(i1=True), "i9")
