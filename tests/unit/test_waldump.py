"""Reading what pg_waldump prints, as PostgreSQL 15 prints it."""

from datetime import UTC, datetime

import pytest

from tasks.clients.waldump import Commit, parse_commits

HEAD = (
    "rmgr: Transaction len (rec/tot):     34/    34, tx:        745, lsn: 0/0150B3C8, prev 0/0150B398, desc: "
)
AT = datetime(2026, 1, 1, 12, 0, 0, 250000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rest", "subxids"),
    [
        ("", ()),
        ("; subxacts: 746 747", (746, 747)),
        ("; rels: base/16384/16400; subxacts: 746; inval msgs: catcache 21 sync", (746,)),
        ("; inval msgs: catcache 21 relcache 16400", ()),
    ],
)
def test_a_commit_record_names_its_transaction_and_its_subtransactions(rest, subxids):
    line = f"{HEAD}COMMIT 2026-01-01 12:00:00.250000 UTC{rest}\n"
    assert parse_commits(line) == [Commit(745, "0/0150B3C8", AT, subxids)]


def test_an_abort_and_the_end_of_wal_are_no_commits():
    text = (
        f"{HEAD}ABORT 2026-01-01 12:00:00.250000 UTC\npg_waldump: error: error in WAL record at 0/150B3C8\n"
    )
    assert parse_commits(text) == []


def test_a_record_does_not_take_the_next_ones_subtransactions():
    text = (
        f"{HEAD}COMMIT 2026-01-01 12:00:00.250000 UTC\n"
        f"{HEAD}COMMIT 2026-01-01 12:00:00.250000 UTC; subxacts: 746\n"
    )
    assert [commit.subxids for commit in parse_commits(text)] == [(), (746,)]
