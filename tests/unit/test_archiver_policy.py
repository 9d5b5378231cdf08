from dataclasses import replace
from datetime import timedelta

import pytest
from archive_facts import BACKUPS, HEALTHY, LIMITS, MIB16, NOW, archiver, backup, facts, wal

from tasks.facts.archive import (
    ArchivedFile,
    ArchiveNumbers,
)
from tasks.facts.archiver import (
    DatabaseFact,
    Growth,
    PrimaryFact,
    PrimarySight,
    RepositoryFact,
)
from tasks.policy import archiver as on_primary


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        (archiver(), archiver(), "ok"),
        (archiver(3, failed_s=99), archiver(3, failed_s=99), "ok"),
        (archiver(3, failed_s=99), archiver(4, failed_s=20), "critical"),
        (archiver(3, failed_s=5), archiver(3, failed_s=5), "critical"),
        (archiver(archived_s=None), archiver(archived_s=None), "critical"),
        (archiver(3, None, 5), archiver(3, None, 5), "critical"),
        (None, archiver(), "unknown"),
        (archiver(), None, "unknown"),
    ],
)
def test_the_archiver_is_judged_by_two_looks(before, after, severity):
    assert on_primary.failures(before, after, None, None).severity == severity


def test_failures_since_the_last_check_are_told_though_they_are_over():
    last = ArchiveNumbers(NOW - timedelta(minutes=5), "us", {}, {}, failed_count=3)
    assert on_primary.failures(archiver(5), archiver(5), None, last).severity == "warning"
    assert on_primary.failures(archiver(3), archiver(3), None, last).severity == "ok"


def test_a_segment_that_another_cluster_archived_first_is_told():
    failing = archiver(3, failed_s=1)
    seen = facts([wal(9)], watched={failing.last_failed_wal})
    assert on_primary.failures(failing, failing, seen, None).name == "foreign cluster"


def test_an_archiver_that_hangs_is_stuck_though_nothing_failed():
    hanging = archiver(waiting=1, waiting_s=40, idle_s=50, claim="x")
    assert on_primary.backlog(hanging, hanging, LIMITS).severity == "critical"


@pytest.mark.parametrize(
    "after",
    [
        archiver(waiting=1, waiting_s=40, idle_s=1, claim="x"),
        archiver(waiting=1, waiting_s=2, idle_s=9 * 3600, claim="x"),
        archiver(waiting=1, waiting_s=40, idle_s=50, claim="y"),
        archiver(),
    ],
)
def test_an_archiver_that_moves_is_not_stuck(after):
    assert on_primary.backlog(archiver(claim="x"), after, LIMITS).severity == "ok"


def test_a_long_backlog_is_a_warning():
    assert on_primary.backlog(archiver(), archiver(waiting=9), LIMITS).severity == "warning"


CLAIM = "000000010000000000000009"


def test_what_was_called_archived_must_be_there():
    assert on_primary.stored(archiver(claim=CLAIM), HEALTHY).severity == "critical"
    assert on_primary.stored(archiver(claim=CLAIM), facts([wal(9)], watched={CLAIM})).severity == "ok"


@pytest.mark.parametrize("claim", [f"{CLAIM}.00000028.backup", f"{CLAIM}.partial", "00000002.history", CLAIM])
def test_every_kind_of_file_is_recognised_in_the_bucket(claim):
    ending = {".partial": f".partial-{'c' * 40}.zst", CLAIM[-8:]: f"-{'c' * 40}.zst"}.get(claim[-8:], "")
    name = claim.removesuffix(".partial") + ending
    assert claim in facts([ArchivedFile(name, 80, NOW)], watched={claim}).watched


def test_a_claim_from_a_nodes_earlier_life_is_none():
    seen = facts([wal(8)], [backup(8, 8)])
    assert on_primary.stored(archiver(claim="000000010000000000000003"), seen).severity == "ok"


PLANNED = "pgbackrest --stanza=main archive-push %p"


@pytest.mark.parametrize(
    ("mode", "command", "severity"),
    [
        ("on", PLANNED, "ok"),
        ("off", PLANNED, "critical"),
        ("on", "/bin/true", "critical"),
        ("on", "", "critical"),
        ("on", "pgbackrest --repo1-path=/x --stanza=main archive-push %p", "warning"),
    ],
)
def test_the_archive_command_is_held_against_the_plan(mode, command, severity):
    assert on_primary.command(archiver(mode=mode, command=command), PLANNED).severity == severity


def test_a_secret_in_an_archive_command_is_not_told():
    told = archiver(command="AWS_SECRET_ACCESS_KEY=hunter2 aws s3 cp %p s3://x --access-token=hunter2")
    assert "hunter2" not in on_primary.command(told, PLANNED).detail


def repository(newest="", system=7):
    return RepositoryFact(BACKUPS, (DatabaseFact("15-1", system, newest),))


def sight(told, claim="", command=PLANNED, refusal=""):
    who = archiver(claim=claim, command=command)
    return PrimarySight("us", NOW, archiver=who, repository=told, refusal=refusal, planned=PLANNED)


OURS = PrimaryFact(1, 9 * MIB16, system=7)


def test_a_primary_whose_pgbackrest_sees_another_bucket_is_told():
    lacks, has = (
        facts([wal(8)], primary=OURS, watched={CLAIM}),
        facts([wal(9)], primary=OURS, watched={CLAIM}),
    )
    assert on_primary.bucket(sight(repository(CLAIM)), lacks).severity == "critical"
    assert on_primary.bucket(sight(None, refusal="no stanza"), lacks).severity == "critical"
    assert on_primary.bucket(sight(None), lacks).severity == "unknown"
    assert on_primary.bucket(sight(repository(CLAIM), CLAIM), has).severity == "ok"


def test_a_command_that_stores_elsewhere_is_told():
    seen = facts([wal(9)], primary=OURS, watched={CLAIM})
    elsewhere = sight(repository(CLAIM), "00000001000000000000000A", f"{PLANNED} --config-path=/other")
    assert on_primary.bucket(elsewhere, seen).severity == "critical"


def test_a_repository_of_another_system_is_told():
    ours = PrimaryFact(1, 9 * MIB16, system=7)
    assert on_primary.system(ours, repository()).severity == "ok"
    upgraded = RepositoryFact(BACKUPS, (DatabaseFact("15-1", 7), DatabaseFact("15-2", 8)))
    assert on_primary.system(ours, upgraded).severity == "critical"
    assert on_primary.system(ours, None).severity == "unknown"


STUCK = archiver(waiting=20, waiting_s=100, idle_s=100)


@pytest.mark.parametrize(
    ("free_gib", "after", "severity"),
    [
        (100, STUCK, "ok"),
        (50, STUCK, "warning"),
        (1, STUCK, "critical"),
        (1, archiver(), "ok"),
        (1, archiver(waiting=3, waiting_s=2), "ok"),
    ],
)
def test_a_disk_that_fills_is_told_before_it_is_full(free_gib, after, severity):
    written = Growth(300 * 1024 * 1024, 300, free_gib * 1024**3)
    assert on_primary.disk(written, after, after, LIMITS).severity == severity


def test_an_unknown_disk_is_not_healthy():
    assert on_primary.disk(None, archiver(), archiver(), LIMITS).red
    assert on_primary.disk(Growth(1, 1, None), archiver(), archiver(), LIMITS).red


def test_the_growth_is_taken_since_the_last_check_of_the_same_timeline():
    looks = (PrimaryFact(1, 900, system=7), NOW - timedelta(seconds=1)), (PrimaryFact(1, 1000, system=7), NOW)
    last = ArchiveNumbers(NOW - timedelta(seconds=100), "us", {}, {}, system=7, timeline=1, lsn=500)
    assert on_primary.growth(*looks, 9000, last) == Growth(500, 100, 9000)
    assert on_primary.growth(*looks, 9000, replace(last, timeline=2)) == Growth(100, 1, 9000)
    assert on_primary.growth(*looks, 9000, None).full_in_s == 90
