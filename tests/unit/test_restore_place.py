"""Where a database is restored beside: two flows at once never take each other's copy away."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import restore_database as database
from flows import restore_point_in_time as moment
from tasks import restore_database
from tasks.plan.load import load_plan

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
SITE, HOST = "us-east-1", "postgres-primary"


class Server:
    """A directory that is free once it was emptied."""

    emptied: list[Path]

    def __init__(self, place):
        self.place = place

    def stop(self, *, remove):
        assert remove
        self.emptied.append(self.place.directory)

    def is_free(self):
        return True


class Chosen(Exception):
    """The flow has its place."""


@pytest.fixture
def plan(monkeypatch):
    plan = load_plan(PLAN)
    monkeypatch.setattr(Server, "emptied", [], raising=False)
    monkeypatch.setattr(restore_database, "_server", lambda _plan, place: Server(place))
    for flow in (database, moment):
        monkeypatch.setattr(flow, "current_plan", lambda: plan)
        monkeypatch.setattr(flow, "restore_files", chosen)
    monkeypatch.setattr(moment, "require_moment", lambda *_: None)
    monkeypatch.setattr(restore_database, "put_away", lambda *_, **__: None)
    return plan


def chosen(*_):
    raise Chosen


def test_each_flow_empties_a_directory_of_its_own(plan):
    for flow, words in (
        (database.restore_database, {}),
        (moment.restore_point_in_time, {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ):
        with pytest.raises(Chosen):
            asyncio.run(flow.fn(from_site=SITE, host=HOST, **words))
    assert len({*Server.emptied}) == 2
    assert [each.name for each in Server.emptied] == ["dr-restore", "dr-moment"]
