"""When a recovery from backups is called for, from which copy, to which moment, and what it lost."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.clients.held import backup_ends
from tasks.errors import Permanent, Refused
from tasks.facts.cold import Copy
from tasks.facts.loss import LedgerCount
from tasks.policy.cold import choose_copy, end_of_history, newest_segment, require_moment, usable_standby
from tasks.policy.recovery import ledger_loss

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIFTH, SIXTH, NEXT_LINE = "000000010000000000000005", "000000010000000000000006", "000000020000000000000004"


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def copy(site="south", newest_wal=FIFTH, **changed):
    fields = {"stored_at": at(600), "oldest": at(0), "newest": at(300)}
    return Copy(site=site, newest_wal=newest_wal, **fields | changed)


def test_the_copy_with_the_newest_wal_is_restored_and_of_equal_ones_the_first():
    assert choose_copy([copy(), copy("vault")], None) == "south"
    assert choose_copy([copy(), copy("vault", SIXTH)], None) == "vault"
    assert choose_copy([copy(), copy("vault", NEXT_LINE)], None) == "vault"


def test_a_copy_that_cannot_be_used_is_passed_over_however_new_it_is():
    assert choose_copy([copy(newest_wal=SIXTH, wrong="damaged"), copy("vault")], None) == "vault"


def test_no_usable_copy_is_refused_and_each_is_told():
    with pytest.raises(Refused) as refused:
        choose_copy([copy(wrong="its store does not answer"), copy("vault", wrong="no whole backup")], None)
    assert "south: its store does not answer; vault: no whole backup" in refused.value.detail


@pytest.mark.parametrize("moment", [-1, 601])
def test_a_moment_that_no_copy_reaches_is_refused(moment):
    with pytest.raises(Refused, match="no copy can be recovered"):
        choose_copy([copy(), copy("vault")], at(moment))


def test_the_copy_that_reaches_the_moment_is_restored():
    young = copy(oldest=at(200))
    assert choose_copy([young, copy("vault")], at(100)) == "vault"
    assert choose_copy([young, copy("vault")], at(250)) == "south"


@pytest.mark.parametrize(
    ("moment", "words"), [(at(0).replace(tzinfo=None), "time zone"), (at(5), "not past"), (at(6), "not past")]
)
def test_a_moment_that_is_none_or_not_past_is_refused(moment, words):
    with pytest.raises(Refused, match=words):
        require_moment(moment, at(5))
    require_moment(at(4), at(5))
    require_moment(None, at(5))


def test_a_standby_that_holds_what_the_copies_do_is_to_be_failed_over_to():
    assert usable_standby("0/5000000", [copy()])
    assert usable_standby("0/5000028", [copy(), copy("vault", SIXTH, wrong="damaged")])
    assert not usable_standby("0/4FFFFFF", [copy()])
    assert not usable_standby("0/5000028", [copy(), copy("vault", SIXTH)])


def test_a_standby_is_of_use_where_there_is_no_copy():
    assert usable_standby("0/1", [copy(newest_wal="", wrong="its store does not answer")])


def test_the_newest_segment_is_of_the_latest_timeline():
    assert newest_segment([SIXTH, NEXT_LINE, FIFTH]) == NEXT_LINE
    assert newest_segment([]) == ""


def test_the_end_of_a_recovery_is_the_last_line_of_its_history():
    text = "1\t0/5000000\tno recovery target specified\n\n2\t0/7000148\tbefore 2026-01-01\n"
    assert end_of_history(text) == (2, "0/7000148")
    with pytest.raises(ValueError, match="history"):
        end_of_history("\n")


def test_backup_info_tells_when_each_good_backup_ended():
    info = (
        "[backup:current]\n"
        '20260101-110000F={"backup-error":false,"backup-timestamp-stop":1767268800}\n'
        '20260101-110000F_20260101-113000I={"backup-error":false,"backup-timestamp-stop":1767270600}\n'
        '20260101-115000F={"backup-error":true,"backup-timestamp-stop":1767268900}\n'
        "[cipher]\n"
    )
    assert backup_ends(info) == {
        "20260101-110000F": NOON,
        "20260101-110000F_20260101-113000I": at(1800),
    }
    with pytest.raises(Permanent, match=r"backup\.info"):
        backup_ends('20260101-110000F={"backup-error":false}')


def test_the_loss_by_the_ledger_is_what_clients_miss_since_this_incident():
    loss = ledger_loss(LedgerCount(acknowledged=90, missing=7, before=4, lost_seconds=2.5))
    assert (loss.lost_transactions, loss.lost_seconds, loss.basis) == (3, 2.5, "exact")
    assert ledger_loss(LedgerCount(acknowledged=90, missing=4, before=4)).lost_transactions == 0
