"""Secrets that are restored lie in one folder, which a run that was killed leaves to the next."""

import pytest
from third_parties import INCIDENT

from tasks.gone import gone_secrets


@pytest.fixture
def beside(plans):
    return plans.folder / f".dr-cold-{INCIDENT.id}"


def test_what_a_killed_run_restored_does_not_stop_the_next(plans, beside):
    (beside / "secrets").mkdir(parents=True)
    (beside / "secrets" / "half").write_text("of a point")
    _, into = gone_secrets.fn(plans.plan, INCIDENT)
    assert into == beside
    assert not beside.exists()


def test_nothing_is_gone_where_all_is_there(plans, beside):
    gone, _ = gone_secrets.fn(plans.plan, INCIDENT)
    missing = [each for each in gone if (plans.folder / each.removeprefix("file:")).exists()]
    assert missing == []
    assert not beside.exists()
