from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.clients.walnames import (
    Segment,
    Switch,
    format_lsn,
    parse_archived,
    parse_history,
    parse_lsn,
)
from tasks.facts.archive import (
    ArchivedFile,
    ArchiveFacts,
    ArchiveLimits,
    ArchiverFact,
    BackupFact,
    PrimaryFact,
)
from tasks.policy.archive import duplicated, gaps, judge_archive, judge_archiver, position, stanza, truncated

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIB16 = 16 * 1024 * 1024
PARTIAL = ".partial-" + "c" * 40
LIMITS = ArchiveLimits(rpo=timedelta(minutes=15), archive_timeout=timedelta(minutes=1))


def wal(number, timeline=1, size=70_000, age_s=30, ending="-" + "a" * 40):
    name = f"{Segment(timeline, number).name()}{ending}.zst"
    return ArchivedFile(name, size, NOW - timedelta(seconds=age_s))


def backup(start, stop, timeline=1, label="20260301-020000F"):
    segments = Segment(timeline, start).name(), Segment(timeline, stop).name()
    return BackupFact(label, "full", *segments, NOW - timedelta(hours=10))


BACKUPS = (backup(2, 2),)


def facts(files, backups=BACKUPS, primary=None):
    primary = primary or PrimaryFact(1, 9 * MIB16 + 100)
    return ArchiveFacts("main", ("main",), tuple(files), tuple(backups), primary, NOW)


HEALTHY = facts([wal(number) for number in range(1, 9)])


def severities(seen, limits=LIMITS):
    return {finding.name: finding.severity for finding in judge_archive(seen, limits)}


def test_a_healthy_archive_is_ok_in_everything_that_was_looked_at():
    assert severities(HEALTHY) == dict.fromkeys(
        ("archive", "segment sizes", "duplicates", "continuity", "position"), "ok"
    )


def test_a_missing_segment_is_named():
    found = gaps(facts([wal(number) for number in range(1, 9) if number != 5]))
    assert found.severity == "critical"
    assert "1 missing: 000000010000000000000005" in found.detail


def test_a_hole_before_the_oldest_backup_does_no_harm():
    assert gaps(facts([wal(number) for number in range(2, 9)])).severity == "ok"


def test_the_segment_a_backup_begins_in_is_needed():
    assert gaps(facts([wal(number) for number in range(3, 9)])).severity == "critical"


def test_the_segment_the_newest_backup_ends_in_is_needed():
    backups = [backup(2, 2), backup(8, 10, label="20260301-080000F")]
    found = gaps(facts([wal(number) for number in range(1, 9)], backups))
    assert "2 missing: 000000010000000000000009, 00000001000000000000000A" in found.detail


AFTER_SWITCH = PrimaryFact(2, 9 * MIB16, (Switch(1, 6 * MIB16 + 0xA0),))
SWITCHED = [
    *(wal(number) for number in range(1, 6)),
    wal(6, ending=PARTIAL),
    *(wal(number, timeline=2) for number in range(6, 9)),
]


def test_a_timeline_switch_is_followed_and_its_last_segment_read_from_the_child():
    found = gaps(facts(SWITCHED, primary=AFTER_SWITCH))
    assert found.severity == "ok"
    assert found.detail.startswith("7 segments")


@pytest.mark.parametrize("lost", ["000000010000000000000005", "000000020000000000000006"])
def test_a_segment_lost_beside_a_timeline_switch_is_found(lost):
    files = [file for file in SWITCHED if not file.name.startswith(lost)]
    assert lost in gaps(facts(files, primary=AFTER_SWITCH)).detail


def test_a_partial_segment_does_not_fill_a_gap():
    files = [*(wal(number) for number in range(1, 9) if number != 5), wal(5, ending=PARTIAL)]
    assert gaps(facts(files)).severity == "critical"


def test_what_a_lost_primary_wrote_beyond_the_switch_is_not_needed():
    diverged = [wal(number) for number in range(6, 30)]
    assert gaps(facts([*SWITCHED, *diverged], primary=AFTER_SWITCH)).severity == "ok"


def test_the_parents_own_version_of_the_switch_segment_is_not_the_primarys_position():
    files = [wal(number) for number in range(1, 7)]
    found = position(facts(files, primary=AFTER_SWITCH), LIMITS)
    assert found.detail.startswith("archived to 0/6000000")


def test_a_backup_of_a_branch_that_was_left_is_told():
    found = gaps(facts(SWITCHED, [backup(7, 7, timeline=1)], AFTER_SWITCH))
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
    assert gaps(facts(files, primary=primary)).severity == "ok"
    assert (
        "000000020000000000000005"
        in gaps(facts([f for f in files if "00005-" not in f.name], primary=primary)).detail
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
    found = gaps(seen)
    assert found.severity == "unknown"
    assert found.red


def test_an_archive_without_a_backup_is_critical():
    assert gaps(replace(HEALTHY, backups=())).severity == "critical"


def test_a_position_that_is_not_known_is_not_healthy():
    assert position(replace(HEALTHY, primary=None), LIMITS).red


@pytest.mark.parametrize(("age_s", "severity"), [(60, "ok"), (8 * 60, "warning"), (16 * 60, "critical")])
def test_the_age_of_the_newest_segment_is_judged_against_the_rpo(age_s, severity):
    behind = PrimaryFact(1, 20 * MIB16)
    files = [wal(number, age_s=age_s) for number in range(1, 9)]
    assert position(facts(files, primary=behind), LIMITS).severity == severity


def test_an_idle_primary_is_not_late():
    files = [wal(number, age_s=5 * 3600) for number in range(1, 9)]
    assert position(facts(files), LIMITS).severity == "ok"
    assert position(facts(files, primary=PrimaryFact(1, 9 * MIB16)), LIMITS).detail.endswith(
        "0 bytes, 0 s behind; RPO 900 s"
    )


def test_the_distance_is_given_in_bytes():
    found = position(facts([wal(1)], primary=PrimaryFact(1, 3 * MIB16)), LIMITS)
    assert f"{MIB16} bytes" in found.detail


def test_an_archive_of_another_timeline_only_has_no_position():
    files = [wal(number, timeline=7) for number in range(1, 9)]
    assert position(facts(files), LIMITS).severity == "critical"


@pytest.mark.parametrize("size", [0, 1, MIB16 * 2])
def test_an_impossible_size_is_found(size):
    found = truncated(facts([wal(1), wal(2, size=size)]))
    assert found.severity == "critical"
    assert "000000010000000000000002" in found.detail


@pytest.mark.parametrize(("size", "severity"), [(MIB16, "ok"), (MIB16 + 32, "ok"), (MIB16 - 1, "critical")])
def test_an_uncompressed_segment_has_its_whole_size(size, severity):
    plain = ArchivedFile(f"{Segment(1, 1).name()}-{'b' * 40}", size, NOW)
    assert truncated(facts([plain])).severity == severity


def test_a_segment_archived_twice_with_different_contents_is_found():
    files = [wal(1), wal(1, ending="-" + "b" * 40), wal(2)]
    assert "000000010000000000000001" in duplicated(facts(files)).detail


@pytest.mark.parametrize(("stanzas", "files"), [((), ()), (("other",), (wal(1),)), (("main",), ())])
def test_a_wrong_or_empty_archive_is_critical(stanzas, files):
    assert stanza(replace(HEALTHY, stanzas=stanzas, files=files)).severity == "critical"


def archiver(failed=0, archived_s=10, failed_s=None, waiting=0):
    ago = [
        None if seconds is None else NOW - timedelta(seconds=seconds) for seconds in (archived_s, failed_s)
    ]
    return ArchiverFact(failed, *ago, "000000010000000000000009", waiting)


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        (archiver(), archiver(), "ok"),
        (archiver(3, failed_s=99), archiver(3, failed_s=99), "ok"),
        (archiver(3, failed_s=99), archiver(4, failed_s=20), "critical"),
        (archiver(3, failed_s=5), archiver(3, failed_s=5), "critical"),
        (archiver(archived_s=None), archiver(archived_s=None), "critical"),
        (archiver(3, None, 5), archiver(3, None, 5), "critical"),
        (archiver(), archiver(waiting=9), "warning"),
        (None, archiver(), "unknown"),
        (archiver(), None, "unknown"),
    ],
)
def test_the_archiver_is_judged_by_two_looks(before, after, severity):
    assert judge_archiver(before, after, LIMITS).severity == severity


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


@pytest.mark.parametrize(
    ("name", "size", "number"),
    [
        ("000000010000000000000003", MIB16, 3),
        ("0000000100000001000000FF", MIB16, 0x1FF),
        ("000000010000000100000003", 1024 * 1024 * 1024, 7),
    ],
)
def test_segment_names_go_there_and_back(name, size, number):
    segment = Segment.parse(name, size)
    assert (segment.timeline, segment.number) == (1, number)
    assert segment.name(size) == name


@pytest.mark.parametrize("name", ["", "00000001000000000000000", "000000010000000000000100", "x" * 24])
def test_what_is_no_segment_is_refused(name):
    with pytest.raises(ValueError, match="not a WAL segment"):
        Segment.parse(name)


def test_lsns_go_there_and_back():
    assert parse_lsn("16/B374D848") == 0x16B374D848
    assert format_lsn(0x16B374D848) == "16/B374D848"
    with pytest.raises(ValueError, match="not an LSN"):
        parse_lsn("16-B374D848")


def test_a_segment_holds_its_lsns():
    assert Segment.holding(1, parse_lsn("0/6FFFFFF")).name() == "000000010000000000000006"
    assert format_lsn(Segment(1, 6).end()) == "0/7000000"


@pytest.mark.parametrize(
    "name", ["00000002.history", "000000010000000000000002.00000028.backup", "archive.info", "x.zst"]
)
def test_what_is_no_archived_segment_is_passed_over(name):
    assert parse_archived(name) is None


def test_a_history_names_its_ancestors():
    text = "1\t0/60000A0\tno recovery target specified\n\n2\t0/9000000\tat restore point\n"
    assert parse_history(text) == (Switch(1, 0x60000A0), Switch(2, 0x9000000))
    with pytest.raises(ValueError, match="no LSN"):
        parse_history("1\n")
