"""Acknowledged writes that are gone: each told by the incident that lost it."""

import json
from types import SimpleNamespace

import pytest

import tasks.lost
from tasks.facts.loss import LedgerCount

TIMES = {"a": 10.0, "b": 11.0, "c": 12.5, "d": 20.0}


class Journal:
    """The records of incidents, oldest first."""

    def __init__(self):
        self.kept = {}

    def write(self, _plan, _failed_site, incident, name, data):
        assert name == "missing.json"
        self.kept[incident] = data

    def read(self, _plan, incident, _name, _failed_site):
        return self.kept.get(incident)

    def incidents(self, _plan, having):
        assert having == "missing.json"
        return sorted(self.kept)


@pytest.fixture
def counted(monkeypatch):
    journal, gone = Journal(), set()
    monkeypatch.setattr(tasks.lost, "journal", journal)
    monkeypatch.setattr(tasks.lost.ledger, "acknowledged_at", lambda _: TIMES)
    monkeypatch.setattr(tasks.lost.ledger, "missing", lambda *_: set(gone))
    monkeypatch.setattr(tasks.lost.patroni, "leader", lambda *_: SimpleNamespace(host="::1"))

    def count(incident, *missing):
        gone.clear()
        gone.update(missing)
        case = SimpleNamespace(id=incident, failed_site="there", to_site="here")
        return tasks.lost.count_missing(None, case)

    count.journal = journal
    return count


def test_the_first_incident_tells_all_that_is_missing(counted):
    assert counted("I1", "a", "c") == LedgerCount(acknowledged=4, missing=2, lost_seconds=2.5)
    assert json.loads(counted.journal.kept["I1"]) == ["a", "c"]


def test_a_later_one_tells_what_is_missing_since(counted):
    counted("I1", "a", "b")
    count = counted("I2", "a", "b", "c")
    assert (count.missing, count.before, count.lost, count.lost_seconds) == (3, 2, 1, 0.0)


def test_what_came_back_and_is_gone_again_is_not_counted_as_lost_before_it_was(counted):
    counted("I1", "a")
    counted("I2")
    assert counted("I3", "d").lost == 1


def test_a_report_that_is_written_again_tells_the_same(counted):
    counted("I1", "a")
    first = counted("I2", "a", "b")
    counted("I3", "a", "b", "c")
    assert counted("I2", "a", "b") == first


def test_without_a_ledger_nothing_is_counted(counted, monkeypatch):
    monkeypatch.setattr(tasks.lost.ledger, "acknowledged_at", lambda _: None)
    assert counted("I1") is None
    assert not counted.journal.kept
