from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from archive_facts import HEALTHY, LIMITS, MIB16, NOW, PARTIAL, archiver, backup, facts, folded, seen_at, wal

from tasks.clients.walnames import (
    Segment,
    Switch,
)
from tasks.facts.archive import (
    ArchivedFile,
)
from tasks.facts.archiver import (
    BackupFact,
    PrimaryFact,
)
from tasks.policy.archive import foreign, gaps, judge_archive, numbers, position, stanza
from tasks.policy.lineage import ahead_of


def gaps_of(seen):
    return gaps(seen, LIMITS)


def severities(seen, limits=LIMITS):
    return {finding.name: finding.severity for finding in judge_archive(seen, limits)}


def test_a_healthy_archive_is_ok_in_everything_that_was_looked_at():
    assert severities(HEALTHY) == dict.fromkeys(
        (
            "repository",
            "stanza",
            "segment sizes",
            "copies",
            "duplicates",
            "foreign cluster",
            "continuity",
            "position",
        ),
        "ok",
    )


def test_a_missing_segment_is_named():
    found = gaps_of(facts([wal(number) for number in range(1, 9) if number != 5]))
    assert found.severity == "critical"
    assert "1 missing: 000000010000000000000005" in found.detail


def test_a_hole_before_the_oldest_backup_does_no_harm():
    assert gaps_of(facts([wal(number) for number in range(2, 9)])).severity == "ok"


def test_the_segment_a_backup_begins_in_is_needed():
    assert gaps_of(facts([wal(number) for number in range(3, 9)])).severity == "critical"


def test_the_segment_the_newest_backup_ends_in_is_needed():
    backups = [backup(2, 2), backup(8, 10, label="20260301-080000F")]
    found = gaps_of(facts([wal(number) for number in range(1, 9)], backups))
    assert "2 missing: 000000010000000000000009, 00000001000000000000000A" in found.detail


AFTER_SWITCH = PrimaryFact(2, 9 * MIB16, (Switch(1, 6 * MIB16 + 0xA0),))
SWITCHED = [
    *(wal(number) for number in range(1, 6)),
    wal(6, ending=PARTIAL),
    *(wal(number, timeline=2) for number in range(6, 9)),
]


def test_a_timeline_switch_is_followed_and_its_last_segment_read_from_the_child():
    found = gaps_of(facts(SWITCHED, primary=AFTER_SWITCH))
    assert found.severity == "ok"
    assert found.detail.startswith("7 segments")


@pytest.mark.parametrize("lost", ["000000010000000000000005", "000000020000000000000006"])
def test_a_segment_lost_beside_a_timeline_switch_is_found(lost):
    files = [file for file in SWITCHED if not file.name.startswith(lost)]
    assert lost in gaps_of(facts(files, primary=AFTER_SWITCH)).detail


def test_a_partial_segment_does_not_fill_a_gap():
    files = [*(wal(number) for number in range(1, 9) if number != 5), wal(5, ending=PARTIAL)]
    assert gaps_of(facts(files)).severity == "critical"


def test_what_a_lost_primary_wrote_beyond_the_switch_is_not_needed():
    diverged = [wal(number) for number in range(6, 30)]
    assert gaps_of(facts([*SWITCHED, *diverged], primary=AFTER_SWITCH)).severity == "ok"


def test_the_parents_own_version_of_the_switch_segment_is_not_the_primarys_position():
    files = [wal(number) for number in range(1, 7)]
    found = position(facts(files, primary=AFTER_SWITCH), LIMITS)
    assert found.detail.startswith("archived to 0/6000000")


def test_a_backup_of_a_branch_that_was_left_is_told():
    found = gaps_of(facts(SWITCHED, [backup(7, 7, timeline=1)], AFTER_SWITCH))
    assert found.severity == "critical"
    assert "never wrote" in found.detail


def test_two_switches_are_followed():
    history = (Switch(1, 4 * MIB16), Switch(2, 7 * MIB16 + 1))
    files = [
        *(wal(n) for n in range(2, 4)),
        *(wal(n, timeline=2) for n in range(4, 7)),
        wal(7, timeline=3),
        wal(8, timeline=3),
    ]
    primary = PrimaryFact(3, 9 * MIB16, history)
    assert gaps_of(facts(files, primary=primary)).severity == "ok"
    assert (
        "000000020000000000000005"
        in gaps_of(facts([f for f in files if "00005-" not in f.name], primary=primary)).detail
    )


@pytest.mark.parametrize(
    "seen",
    [
        replace(HEALTHY, primary=None),
        replace(HEALTHY, backups=None),
        replace(HEALTHY, primary=PrimaryFact(2, 9 * MIB16, None)),
    ],
)
def test_unknown_is_not_healthy(seen):
    found = gaps_of(seen)
    assert found.severity == "unknown"
    assert found.red


def test_an_archive_without_a_backup_is_critical():
    assert gaps_of(replace(HEALTHY, backups=())).severity == "critical"


def test_a_position_that_is_not_known_is_not_healthy():
    assert position(replace(HEALTHY, primary=None), LIMITS).red


@pytest.mark.parametrize(("waits_s", "severity"), [(20, "ok"), (8 * 60, "warning"), (16 * 60, "critical")])
def test_what_waits_is_judged_against_the_rpo(waits_s, severity):
    behind = PrimaryFact(1, 20 * MIB16)
    files = [wal(number, age_s=3 * 3600) for number in range(1, 9)]
    seen = facts(files, primary=behind, watched={"000000010000000000000008"})
    told = archiver(waiting=9, waiting_s=waits_s, claim="000000010000000000000008")
    assert position(seen, LIMITS, told).severity == severity


def test_after_an_idle_night_the_first_segments_are_not_late():
    files = [wal(number, age_s=9 * 3600) for number in range(1, 9)]
    claim = "000000010000000000000008"
    seen = facts(files, primary=PrimaryFact(1, 10 * MIB16 + 5), watched={claim})
    assert position(seen, LIMITS, archiver(waiting=1, waiting_s=0.2, claim=claim)).severity == "ok"


def test_an_archive_that_lacks_what_was_called_archived_is_as_old_as_its_newest_segment():
    files = [wal(number, age_s=20 * 60) for number in range(1, 9)]
    told = archiver(claim="000000010000000000000009")
    assert position(facts(files, primary=PrimaryFact(1, 10 * MIB16)), LIMITS, told).severity == "critical"


def test_an_idle_primary_is_not_late():
    files = [wal(number, age_s=5 * 3600) for number in range(1, 9)]
    assert position(facts(files), LIMITS).severity == "ok"
    assert position(facts(files, primary=PrimaryFact(1, 9 * MIB16)), LIMITS).detail.endswith(
        "0 bytes, 0 s behind; RPO 900 s"
    )


@pytest.mark.parametrize(("age_s", "severity"), [(30, "ok"), (8 * 60, "warning"), (16 * 60, "critical")])
def test_a_copy_is_as_late_as_the_first_segment_it_lacks(age_s, severity):
    active = [*(wal(n, age_s=9 * 3600) for n in range(1, 5)), *(wal(n, age_s=age_s) for n in range(5, 9))]
    seen = seen_at("eu", {"us": active, "eu": active[:4]})
    assert position(seen, LIMITS, archiver()).severity == severity


def test_a_copy_whose_source_is_down_is_as_late_as_its_newest_segment():
    seen = replace(
        facts([wal(n, age_s=20 * 60) for n in range(1, 5)], primary=PrimaryFact(1, 20 * MIB16)),
        compared=False,
    )
    assert position(seen, LIMITS, archiver()).severity == "critical"


def test_the_distance_is_given_in_bytes():
    found = position(facts([wal(1)], primary=PrimaryFact(1, 3 * MIB16)), LIMITS)
    assert f"{MIB16} bytes" in found.detail


def test_an_archive_of_another_timeline_only_has_no_position():
    files = [wal(number, timeline=7) for number in range(1, 9)]
    assert position(facts(files), LIMITS).severity == "critical"


@pytest.mark.parametrize("size", [0, 1, 70_000 - 1, 70_000 + 8, MIB16 * 2])
def test_an_impossible_size_is_found(size):
    seen = facts([wal(1), wal(2, size=size)])
    assert severities(seen)["segment sizes"] == "critical"
    assert str(seen.truncated).startswith("000000010000000000000002")


@pytest.mark.parametrize(("size", "healthy"), [(MIB16, True), (MIB16 + 32, True), (MIB16 - 1, False)])
def test_an_uncompressed_segment_has_its_whole_size(size, healthy):
    plain = ArchivedFile(f"{Segment(1, 1).name()}-{'b' * 40}", size, NOW)
    assert bool(facts([plain], ciphered=False).truncated) is not healthy


@pytest.mark.parametrize("odd", ["us", "dr", "eu"])
@pytest.mark.parametrize("lost", [16, 160, 16_000])
def test_a_segment_that_lost_whole_blocks_is_found_beside_its_copies(odd, lost):
    good = [wal(n) for n in range(1, 9)]
    bad = [wal(n, size=70_000 - lost * (n == 5)) for n in range(1, 9)]
    by_site = {site: bad if site == odd else good for site in ("us", "dr", "eu")}
    for site in by_site:
        found = severities(seen_at(site, by_site))
        assert found["copies"] == ("critical" if site == odd else "ok")


def test_of_two_copies_the_smaller_is_the_bad_one():
    by_site = {"us": [wal(1, size=64_000)], "eu": [wal(1)]}
    assert seen_at("us", by_site).differing
    assert not seen_at("eu", by_site).differing


def test_another_etag_is_doubtful_until_it_is_looked_at():
    by_site = {"us": [wal(1)], "dr": [wal(1)], "eu": [wal(1, etag="other")]}
    fold = folded(by_site)
    [doubt] = fold.doubtful
    assert doubt.site == "eu"
    assert not fold.facts("eu")["differing"]
    fold.differs(doubt)
    assert "another ETag" in str(fold.facts("eu")["differing"])


def test_the_same_segment_with_another_content_at_another_site_is_told():
    by_site = {"us": [wal(1), wal(2)], "eu": [wal(1), wal(2, ending="-" + "b" * 40)]}
    assert "another content than at us" in str(seen_at("eu", by_site).differing)


def test_a_segment_archived_twice_with_different_contents_is_found():
    seen = facts([wal(1), wal(1, ending="-" + "b" * 40), wal(2)])
    assert "000000010000000000000001" in str(seen.duplicated)
    assert severities(seen)["duplicates"] == "critical"


def test_what_a_copy_is_just_pulling_is_no_gap_in_it():
    active = [*(wal(n, age_s=600) for n in range(1, 5)), *(wal(n, age_s=10) for n in range(5, 9))]
    halfway = [file for file in active if "00006-" not in file.name]
    assert gaps_of(seen_at("eu", {"us": active, "eu": halfway})).severity == "ok"


def test_what_a_copy_lost_long_ago_is_a_gap_in_it_alone():
    active = [wal(n, age_s=600) for n in range(1, 9)]
    by_site = {"us": active, "eu": [file for file in active if "00006-" not in file.name]}
    assert gaps_of(seen_at("eu", by_site)).severity == "critical"
    assert gaps_of(seen_at("us", by_site)).severity == "ok"


def history(timeline, age_s):
    return ArchivedFile(f"{timeline:08X}.history", 48, NOW - timedelta(seconds=age_s))


def test_a_timeline_that_the_primary_never_was_on_is_foreign():
    found = foreign(facts([wal(1), wal(2), history(2, 5), wal(2, timeline=2)]))
    assert found.severity == "critical"
    assert "00000002.history and 1 more" in found.detail


def test_what_an_abandoned_timeline_left_before_is_not_foreign():
    primary = PrimaryFact(3, 9 * MIB16, (Switch(1, 6 * MIB16 + 1),))
    left = [history(2, 9000), wal(6, timeline=2, age_s=8000)]
    own = [history(3, 600), wal(6, timeline=3), wal(7, timeline=3)]
    seen = facts([*(wal(n, age_s=9999) for n in range(1, 6)), *left, *own], primary=primary)
    assert foreign(seen).severity == "ok"
    late = facts([*own, *left, wal(7, timeline=2, age_s=5)], primary=primary)
    assert foreign(late).severity == "critical"


def test_just_after_a_failover_nothing_that_was_left_is_foreign():
    primary = PrimaryFact(3, 7 * MIB16, (Switch(1, 6 * MIB16 + 1),))
    assert foreign(facts([wal(5), history(2, 900)], primary=primary)).severity == "ok"


def test_foreign_wal_in_a_copy_is_told_of_the_copy_only():
    good = [wal(n) for n in range(1, 9)]
    by_site = {"us": good, "eu": [*good, wal(3, timeline=2, age_s=5)]}
    assert foreign(seen_at("eu", by_site)).severity == "critical"
    assert foreign(seen_at("us", by_site)).severity == "ok"


def test_wal_that_the_primary_has_not_written_is_foreign():
    primary = PrimaryFact(1, 9 * MIB16 + 100)
    assert not ahead_of(primary, HEALTHY.held)
    found = foreign(replace(HEALTHY, ahead=ahead_of(primary, {1: ((1, 8), (10, 11))})))
    assert "has not written yet: 00000001000000000000000A" in found.detail


@pytest.mark.parametrize(("stanzas", "files"), [((), ()), (("other",), (wal(1),)), (("main",), ())])
def test_a_wrong_or_empty_archive_is_critical(stanzas, files):
    assert stanza(replace(facts(files), stanzas=stanzas)).severity == "critical"


def test_beyond_the_wal_retention_only_what_each_backup_needs_is_wanted():
    old, middle, new = backup(2, 2, age_h=20 * 24), backup(4, 5, age_h=10 * 24), backup(7, 7)
    files = [wal(n) for n in (2, 4, 5, 6, 7, 8)]
    assert gaps_of(facts(files, (old, middle, new))).severity == "ok"
    without = [file for file in files if "00005-" not in file.name]
    assert "000000010000000000000005" in gaps_of(facts(without, (old, middle, new))).detail
    without = [file for file in files if "00006-" not in file.name]
    assert "000000010000000000000006" in gaps_of(facts(without, (old, middle, new))).detail


def test_backups_of_several_timelines_are_all_looked_at():
    backups = [backup(3, 3, label="a"), backup(7, 7, 2, label="b")]
    assert gaps_of(facts(SWITCHED, backups, AFTER_SWITCH)).severity == "ok"
    for lost in ("000000010000000000000004", "000000020000000000000007"):
        files = [file for file in SWITCHED if not file.name.startswith(lost)]
        assert lost in gaps_of(facts(files, backups, AFTER_SWITCH)).detail


def test_a_backup_of_a_left_branch_needs_its_own_wal():
    backups = [backup(3, 3, label="a"), backup(8, 8, 1, label="left")]
    assert "000000010000000000000008" in gaps_of(facts(SWITCHED, backups, AFTER_SWITCH)).detail
    assert gaps_of(facts([*SWITCHED, wal(8)], backups, AFTER_SWITCH)).severity == "ok"


def test_the_numbers_of_an_archive():
    found = numbers(facts([wal(n) for n in range(1, 9)], primary=PrimaryFact(1, 9 * MIB16 + 100)), LIMITS)
    assert (found.archived_lsn, found.behind_bytes, found.behind_s, found.segments) == (
        "0/9000000",
        100,
        30,
        8,
    )
    assert numbers(facts([]), LIMITS).archived_lsn is None


def test_a_hundred_thousand_segments_fold_into_runs():
    files = [wal(number) for number in range(1, 1025) if number != 700]
    seen = facts(files, primary=PrimaryFact(1, 1030 * MIB16))
    assert seen.held == {1: ((1, 699), (701, 1024))}
    assert seen.count == 1023


def test_backups_are_read_from_pgbackrest_info_without_the_broken_ones():
    one = {
        "label": "20261122-224056F",
        "type": "full",
        "error": False,
        "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
        "timestamp": {"start": 1795387256, "stop": 1795387259},
    }
    found = BackupFact.of({"backup": [one, {**one, "label": "broken", "error": True}]})
    assert [(each.label, each.stop_wal) for each in found] == [
        ("20261122-224056F", "000000010000000000000003")
    ]
    assert found[0].stopped_at == datetime(2026, 11, 22, 22, 40, 59, tzinfo=UTC)
