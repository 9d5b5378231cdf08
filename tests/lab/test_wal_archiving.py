"""Each fault of WAL archiving is found by its name on the running lab, and gone when it is healed."""

import time

import pytest
from second_cluster import SecondCluster
from wal_planting import Ground

from deployments.run import without_server

pytestmark = [pytest.mark.lab, pytest.mark.fault]


@pytest.fixture(scope="module")
def ground(shared_lab):
    lab = shared_lab()
    lab.dr("run", "backup-database")
    lab.dr("run", "replicate-backups")
    with without_server():
        ground = Ground(lab)
        ground.green()
        yield ground


@pytest.fixture(autouse=True)
def _healed(ground):
    yield
    ground.green()


def test_a_healthy_lab_has_no_finding(ground):
    assert ground.check(switch=True) == {}


def test_a_command_that_stores_nothing_is_a_contradiction(ground):
    with ground.archive_command("/bin/true"):
        seen = ground.check(switch=True)
    assert seen[("primary", "stored")] == "critical"
    assert seen[("primary", "archive command")] == "critical"
    assert ("primary", "bucket") not in seen


@pytest.mark.parametrize("in_place", [True, False])
def test_another_bucket_is_named(ground, in_place):
    with ground.wrong_bucket(in_place=in_place):
        seen = ground.check(switch=True)
    assert seen[("primary", "bucket")] == "critical"


def test_a_deleted_segment_is_a_gap(ground):
    with ground.object_lost(ground.segments()[-1]):
        # What comes after it makes it a gap; until then it is the newest that is missing.
        assert ground.check()[("primary", "stored")] == "critical"
        assert ground.check(switch=True)[(ground.active, "continuity")] == "critical"


@pytest.mark.parametrize("lost", [1, 16, 320])
def test_a_truncated_segment_is_found_by_any_number_of_bytes(ground, lost):
    with ground.object_truncated(ground.everywhere(), lost):
        seen = ground.check()
    assert {(ground.active, "segment sizes"), (ground.active, "copies")} & seen.keys()


def test_a_store_that_does_not_answer_is_named_and_the_others_are_judged(ground):
    down = ground.plan.site_of("archive")
    with ground.store_stopped(down):
        seen = ground.check()
    assert seen == {(down, "repository"): "critical"}


def test_a_promoted_copy_that_archives_is_foreign(ground):
    with SecondCluster(ground).restored_copy(promoted=True):
        seen = ground.check()
    assert seen[(ground.active, "foreign cluster")] == "critical"


def test_another_cluster_that_took_the_stanza_over_is_named(ground):
    with SecondCluster(ground).another_cluster():
        seen = ground.check()
    assert seen[("primary", "system")] == "critical"


@pytest.mark.long
def test_a_hanging_command_is_a_stuck_archiver(ground):
    with ground.hanging_archiver():
        began = time.monotonic()
        while ("primary", "backlog") not in (seen := ground.check(switch=True)):
            assert time.monotonic() - began < 90, seen
    assert seen[("primary", "backlog")] == "critical"
    assert ("primary", "archiver") not in seen
