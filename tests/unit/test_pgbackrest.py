"""What is concluded from what pgBackRest tells."""

from datetime import UTC, datetime

import pytest

from tasks.clients import pgbackrest, pgbackrest_texts
from tasks.clients.patroni import Member
from tasks.clients.pgbackrest_log import damages_in, share_done
from tasks.clients.pgbackrest_texts import _judged, _texts
from tasks.clients.serverfacts import ServerFacts
from tasks.policy.backup_points import database_points
from tasks.policy.database_backup import choose_standby, doubts
from tasks.policy.database_restore import recovery_gap

FULL, INCR = "20261124-204510F", "20261124-204510F_20261124-204523I"
HEALTHY = f"""\
2026-11-24 20:28:31.017 P00   INFO: verify command begin 2.45: --output=text
2026-11-24 20:28:32.568 P00   INFO: stanza: naas-postgres
                                    status: ok
                                      archiveId: 15-1, total WAL checked: 10, total valid WAL: 10
                                        missing: 0, checksum invalid: 0, size invalid: 0, other: 0
                                      backup: {FULL}, status: valid, total files checked: 9, valid: 9
2026-11-24 20:28:32.568 P00   INFO: verify command end: completed successfully (1554ms)
"""
DAMAGED = f"""\
2026-11-24 21:07:19.278 P01   INFO: invalid result 15-1/00000001/000000010000000000000004-88b0.zst: [29] told
                                    [FormatError] on retry after 0ms
2026-11-24 21:07:28.884 P01   INFO: invalid checksum '{FULL}/pg_data/base/4/2704.zst'
2026-11-24 21:07:28.885 P01   INFO: file missing '{FULL}/bundle/2'
2026-11-24 21:07:28.886 P00   WARN: no archives exist in the repo
                                      backup: {INCR}, status: manifest missing, total files checked: 0
"""


def backup(label, kind, stop, **changed):
    told = {
        "label": label,
        "type": kind,
        "error": False,
        "prior": None,
        "reference": None,
        "backrest": {"version": "2.45"},
        "database": {"id": 1, "repo-key": 1},
        "timestamp": {"start": stop - 5, "stop": stop},
        "info": {"size": 1000, "repository": {"delta": 100}},
    }
    return told | changed


def test_a_healthy_verify_names_nothing():
    assert damages_in(HEALTHY.splitlines()) == ()


def test_each_bad_file_of_a_verify_is_named():
    assert [name for name, _ in damages_in(DAMAGED.splitlines())] == [
        "15-1/00000001/000000010000000000000004-88b0.zst",
        f"{FULL}/pg_data/base/4/2704.zst",
        f"{FULL}/bundle/2",
        "repository",
        INCR,
    ]


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("P01 DETAIL: backup file host:/data/base/5/1 (8KB, 12.50%) checksum ab", 0.125),
        ("P01 DETAIL: restore file /data/base/5/1 (bundle 2026F/1/0, 8KB, 100.00%) checksum ab", 1.0),
        ("P00   INFO: new backup label = 20261124-204510F", None),
    ],
)
def test_progress_is_read_from_the_lines_of_files(line, share):
    assert share_done(line) == share


def test_records_are_judged_by_their_text_and_their_copy():
    names = ["archive.info", "archive.info.copy", "backup.info", "backup.info.copy", "1.backup", "gone"]
    good = [
        "10 0 aa archive.info",
        "10 0 aa archive.info.copy",
        "10 0 bb backup.info",
        "9 0 cc backup.info.copy",
    ]
    assert dict(_judged(_texts(names, [*good, "20 3 dd 1.backup", "0 0 ee gone"]))) == {
        "backup.info": "it and its copy differ",
        "1.backup": "it is not the text that was written",
        "gone": "it is not the text that was written",
    }
    assert list(_judged(_texts(names[:2], good[:2]))) == []


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([("a", "a")], []),
        ([("b", "a"), ("b", "b")], []),
        ([("b", "a"), ("b", "a")], ["backup.info"]),
        ([("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")], ["backup.info"]),
    ],
)
def test_a_record_that_is_being_written_is_looked_at_again(monkeypatch, looks, found):
    told = iter([{"backup.info": info, "backup.info.copy": copy} for info, copy in looks])
    monkeypatch.setattr(pgbackrest_texts, "_hashes", lambda *_: next(told))
    monkeypatch.setattr(pgbackrest_texts, "_SETTLE_S", 0)
    assert [name for name, _ in pgbackrest_texts.damaged_texts(None, "here", timeout=1)] == found
    assert list(told) == []


def test_wal_goes_only_once_all_backups_that_go_are_gone(monkeypatch):
    runs = []

    class Repository:
        def run(self, arguments, *, timeout):
            runs.append([each for each in arguments if "archive=" in each or "--set" in each])

    monkeypatch.setattr(pgbackrest, "repository", lambda *_: Repository())
    monkeypatch.setattr(pgbackrest, "_require_idle", lambda *_: None)
    pgbackrest.expire(None, "here", sets=[INCR, FULL], wal_backups=3, timeout=1)
    every = "--repo1-retention-archive=9999999"
    assert runs == [[every, f"--set={INCR}"], [every, f"--set={FULL}"], ["--repo1-retention-archive=3"]]


def test_backups_become_points_with_what_they_need():
    full, incr = (
        backup(FULL, "full", 1000),
        backup(INCR, "incr", 2000, prior=FULL, reference=[FULL], error=True),
    )
    info = {"backup": [incr, full], "db": [{"id": 1, "repo-key": 1}]}
    newest = datetime.fromtimestamp(5000, UTC)
    first, second = database_points(info, "us-west-2", newest)
    assert (first.name, first.variant, first.needs, first.good) == (FULL, "full", (), True)
    assert (second.name, second.needs, second.good) == (INCR, (FULL,), False)
    assert (first.at, first.until, first.size) == (datetime.fromtimestamp(1000, UTC), newest, 100)
    assert database_points(None, "us-west-2") == ()


def member(name, role, state="streaming", lag=0):
    return Member(name=name, host="127.0.0.1", role=role, state=state, timeline=1, lag=lag)


def test_a_backup_comes_from_a_close_standby_that_no_commit_waits_for():
    leader, waited = member("a", "leader", "running", None), member("b", "sync_standby")
    assert choose_standby([leader, waited, member("c", "replica")]) == "c"
    assert choose_standby([leader, waited, member("c", "replica", lag=2**30)]) == "b"
    assert choose_standby([leader, member("c", "replica", "starting")]) is None
    assert choose_standby([leader, member("c", "replica", lag=None)]) is None


SERVER = ServerFacts(pgbackrest="2.45", programs="15", running="15", system_id=7, bytes=1000)
DATABASES = [{"id": 1, "repo-key": 1, "system-id": 7, "version": "15"}]
STORED = {"backup.manifest": 60, "bundle/1": 60}


def test_a_whole_backup_raises_no_doubt():
    assert list(doubts(backup(FULL, "full", 1000), DATABASES, STORED, SERVER)) == []


@pytest.mark.parametrize(
    ("changed", "stored", "server", "said"),
    [
        ({"error": True}, STORED, {}, "checksums are wrong"),
        ({}, {"bundle/1": 120}, {}, "manifest"),
        ({}, {"backup.manifest": 60}, {}, "60 bytes in the bucket"),
        ({}, STORED, {"bytes": 20_000}, "of a cluster of 20000"),
        ({}, STORED, {"pgbackrest": "2.50"}, "2.50 is installed"),
        ({}, STORED, {"system_id": 8}, "the server is 8"),
        ({}, STORED, {"programs": "16"}, "16 installed"),
        ({}, STORED, {"running": "14"}, "14 running"),
    ],
)
def test_each_doubt_is_told(changed, stored, server, said):
    facts = ServerFacts(**(vars(SERVER) | server))
    [doubt] = doubts(backup(FULL, "full", 1000, **changed), DATABASES, stored, facts)
    assert said in doubt


@pytest.mark.parametrize(
    ("end", "whole"),
    [((1, "0/F000000"), True), ((1, "0/E0001F8"), True), ((1, "0/D000060"), False), ((2, "0/1000060"), True)],
)
def test_a_recovery_that_ends_early_is_seen(end, whole):
    info = {"archive": [{"id": "15-1", "max": "00000001000000000000000E"}]}
    assert (recovery_gap(info, end) is None) == whole
