"""What a restore is asked for: a site or a moment that is none is refused before any store is asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import files
from tasks.errors import Refused, Transient
from tasks.facts.backups import Point
from tasks.files import find_snapshot
from tasks.plan.load import load_plan
from tasks.redis_backup import restore_redis_cluster, restore_redis_point
from tasks.restore_configuration import choose_point
from tasks.secrets_backup import restore_secret

NAIVE = datetime(2026, 1, 1, 12)  # noqa: DTZ001 -- the mistake
NOON = NAIVE.replace(tzinfo=UTC)
SITE, ASSET = "us-east-1", "files/uploads"


@pytest.fixture
def plan():
    return load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")


@pytest.mark.parametrize(
    "restore",
    [
        lambda plan, site, at: restore_secret.fn(plan, site, "secrets/plan", None, at, Path("/nonexistent")),
        lambda plan, site, at: restore_redis_point.fn(plan, site, None, at, None),
        lambda plan, site, at: choose_point.fn(plan, "application", site, at, None),
        lambda plan, site, at: find_snapshot.fn(plan, ASSET, site, at, None),
    ],
)
@pytest.mark.parametrize(
    ("site", "at", "told"), [("nowhere", NOON, "no site nowhere"), (SITE, NAIVE, "no time zone")]
)
def test_a_site_or_a_moment_that_is_none_is_refused(plan, restore, site, at, told):
    with pytest.raises(Refused, match=told):
        restore(plan, site, at)


def test_a_cluster_of_a_site_that_has_none_is_refused(plan):
    cluster = plan.model_copy(update={"redis_ha": plan.redis_ha.model_copy(update={"mode": "cluster"})})
    with pytest.raises(Refused, match="nowhere has no Redis"):
        restore_redis_cluster.fn(cluster, SITE, None, None, "nowhere")


def test_a_copy_that_could_not_be_asked_is_told(plan, monkeypatch, caplog):
    old = Point(ASSET, SITE, "aa", "snapshot", NOON - timedelta(days=1))

    def points(_plan, site):
        if site != SITE:
            raise Transient("the store does not answer", site)
        return (old,)

    monkeypatch.setattr(files, "points_of", points)
    assert find_snapshot.fn(plan, ASSET, None, None, None) is old
    assert "us-west-2" in caplog.text
