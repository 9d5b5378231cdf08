"""Which drills were killed: those that no host has heard of for a while and that have not ended meanwhile."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tasks import drill_killed

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def ground(monkeypatch):
    """Two drills that began long ago, of which no host has heard, and those that have a report."""
    there = SimpleNamespace(reported=[], lives=set(), ends_meanwhile=set())

    def is_dead(_plan, name):
        there.reported.extend(there.ends_meanwhile)
        return name not in there.lives

    drill = SimpleNamespace(model_validate_json=lambda text: SimpleNamespace(id=text, began=NOON))
    monkeypatch.setattr(drill_killed, "Drill", drill)
    monkeypatch.setattr(drill_killed, "drills", lambda _: tuple(there.reported))
    monkeypatch.setattr(drill_killed, "_is_dead", is_dead)
    monkeypatch.setattr(drill_killed.records, "names", lambda *_: ["drill-a", "drill-b"])
    monkeypatch.setattr(drill_killed.records, "read", lambda _, key: key.split("/")[1])
    return there


def found():
    return [drill.id for drill in drill_killed.find_killed.fn(None)]


def test_a_drill_that_nobody_has_heard_of_was_killed(ground):
    assert found() == ["drill-a", "drill-b"]


def test_one_that_a_host_knows_or_that_has_a_report_was_not(ground):
    ground.lives.add("drill-a")
    ground.reported.append("drill-b")
    assert found() == []


def test_one_that_ended_while_the_hosts_were_asked_was_not(ground):
    ground.ends_meanwhile.add("drill-a")
    assert found() == ["drill-b"]


def test_one_that_has_just_begun_may_not_have_told_any_host(ground, monkeypatch):
    monkeypatch.setattr(drill_killed, "_YOUNG_S", timedelta(days=36500).total_seconds())
    assert found() == []
