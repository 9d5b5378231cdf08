"""`dr backups --asset long-term` where no month is set apart, or nobody can tell."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments import backup_commands
from tasks.errors import Transient
from tasks.facts.catalogue import Catalogue, Holding
from tasks.plan.load import load_plan
from tasks.policy.catalogue import LONG_TERM

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
ARCHIVE = PLAN.site_of("archive")


@pytest.fixture
def listed(monkeypatch):
    def listed(points, why=""):
        held = Holding("database", ARCHIVE, points, why)
        found = Catalogue(datetime(2026, 11, 27, tzinfo=UTC), (), (), "", (held,))
        monkeypatch.setattr(backup_commands, "active_plan", lambda: PLAN)
        monkeypatch.setattr(backup_commands, "catalogue", lambda _: found)

    return listed


def test_that_no_month_is_set_apart_is_said_in_words(listed, capsys):
    listed(())
    backup_commands.backups(asset=LONG_TERM)
    assert capsys.readouterr().out == f"no month is set apart at {ARCHIVE}\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_months_that_cannot_be_listed_are_not_told_as_none(listed, as_json):
    listed(None, "the store does not answer")
    with pytest.raises(Transient, match="cannot be listed"):
        backup_commands.backups(asset=LONG_TERM, as_json=as_json)
