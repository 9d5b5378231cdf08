"""The decisions of a recovery: who takes over, what was lost, how long it took, and the verdict."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.errors import Refused
from tasks.facts.incident import StepRecord
from tasks.facts.loss import Divergence, Loss
from tasks.facts.recovery import Observation, Promotion
from tasks.facts.report import Phases
from tasks.plan.availability import SlaTier
from tasks.policy.recovery import (
    bound_loss,
    choose_target,
    exact_loss,
    merge_attempts,
    peak_rate,
    phases,
    verdict,
)

ROLES = {"north": "primary", "south": "dr", "vault": "archive"}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
VERIFY = "validate"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def promotion(**changed):
    fields = {
        "node": "south-1",
        "address": "10.0.0.1",
        "first_write_at": at(30),
        "timeline": 2,
        "old_timeline": 1,
        "fork_lsn": "0/5000000",
        "next_xid": 1000,
        "last_commit": at(-1),
    }
    return Promotion(**fields | changed)


def seen(**changed):
    fields = {"site": "north", "at": at(0), "lsn": "0/5000000", "next_xid": 1000, "last_commit": at(0)}
    return Observation(**fields | {"peak_rate": 0.0} | changed)


def diverged(**changed):
    fields = {"node": "north-1", "commits": 26, "with_rows": 25, "unacknowledged": 0}
    return Divergence(**fields | {"first_commit": at(0), "last_commit": at(4), "saved": ()} | changed)


def record(name, start, end, outcome="done", **more):
    return StepRecord(name=name, started=at(start), ended=at(end), attempts=1, outcome=outcome, **more)


def test_the_other_site_with_a_database_takes_over_in_both_directions():
    assert choose_target(ROLES, "north", None) == "south"
    assert choose_target(ROLES, "south", None) == "north"
    assert choose_target(ROLES, "north", "south") == "south"


@pytest.mark.parametrize("wanted", ["north", "vault", "nowhere", ""])
def test_the_active_the_archive_and_an_unknown_site_cannot_take_over(wanted):
    with pytest.raises(Refused, match="allowed: south"):
        choose_target(ROLES, "north", wanted)


def test_the_peak_rate_is_the_busiest_second_and_fades():
    assert peak_rate(seen(next_xid=1000), at(2), 1100) == 50
    assert peak_rate(seen(peak_rate=80.0), at(1), 1050) == pytest.approx(80, rel=0.01)
    assert peak_rate(seen(peak_rate=80.0), at(3600), 1000) < 0.1


def test_the_first_sight_and_a_clock_that_stands_or_goes_back_tell_no_rate():
    assert peak_rate(None, at(0), 1000) == 0
    assert peak_rate(seen(peak_rate=7.0), at(0), 2000) == 7
    assert peak_rate(seen(peak_rate=7.0), at(-1), 2000) == 7


def test_ids_that_go_back_after_a_failover_make_no_negative_rate():
    assert peak_rate(seen(next_xid=1000), at(1), 900) == 0


def test_the_bound_counts_what_was_seen_beyond_the_standby():
    loss = bound_loss(seen(next_xid=1040), promotion(next_xid=1000), at(0))
    assert (loss.lost_transactions, loss.basis) == (40, "bound")


def test_the_bound_counts_what_was_never_seen_at_twice_the_highest_rate():
    loss = bound_loss(seen(next_xid=1040, peak_rate=50.0), promotion(next_xid=1000), at(20))
    assert loss.lost_transactions == 40 + 50 * 20 * 2


@pytest.mark.parametrize("ids", [900, 1000])
def test_a_standby_that_is_ahead_of_the_last_sight_makes_no_negative_loss(ids):
    assert bound_loss(seen(next_xid=ids), promotion(), at(-5)).lost_transactions == 0


def test_a_fraction_of_a_transaction_counts_as_one():
    assert bound_loss(seen(peak_rate=0.1), promotion(), at(1)).lost_transactions == 1


def test_the_bound_in_seconds_goes_from_the_last_survivor_to_the_fence():
    behind = {"next_xid": 990}
    assert bound_loss(seen(), promotion(last_commit=at(-1), **behind), at(20)).lost_seconds == 21
    assert bound_loss(seen(), promotion(last_commit=None, **behind), at(20)).lost_seconds == 20
    assert bound_loss(seen(), promotion(last_commit=at(30)), at(20)).lost_seconds == 0


def test_an_idle_night_before_the_disaster_is_no_loss():
    assert bound_loss(seen(), promotion(last_commit=at(-7200)), at(20)).lost_seconds == 20


def test_there_is_no_bound_for_a_primary_that_was_never_seen():
    loss = bound_loss(None, promotion(), at(0))
    assert (loss.basis, loss.lost_transactions, loss.lost_seconds) == ("unknown", None, None)


def test_the_exact_loss_leaves_out_internal_commits_and_what_no_client_was_told():
    loss = exact_loss(diverged(commits=30, with_rows=25, unacknowledged=3, first_commit=at(1)))
    assert loss == Loss(lost_transactions=22, lost_seconds=3, basis="exact", unacknowledged=3)


@pytest.mark.parametrize("rows", [0, 3])
def test_where_no_acknowledged_write_is_gone_no_time_is_lost(rows):
    loss = exact_loss(diverged(with_rows=rows, unacknowledged=rows))
    assert (loss.lost_transactions, loss.lost_seconds) == (0, 0)


def steps():
    return [record("assess", 25, 26), record("promote", 26, 28), record(VERIFY, 28, 31)]


def test_the_phases_split_the_outage_without_a_rest():
    took = phases(at(0), at(20), steps(), VERIFY)
    assert took == Phases(detect=20, decide=5, execute=3, verify=3, total=31)


@pytest.mark.parametrize(("last_good", "detected"), [(40, 20), (0, 60), (26.5, 25.5), (0, -10)], ids=str)
def test_clocks_that_disagree_make_no_phase_negative(last_good, detected):
    took = phases(at(last_good), at(detected), steps(), VERIFY)
    spans = [took.detect, took.decide, took.execute, took.verify]
    assert min(spans) >= 0
    assert took.total == pytest.approx(sum(spans))


def test_a_step_without_an_end_ends_the_outage_at_its_start():
    unended = [*steps()[:2], StepRecord(name=VERIFY, started=at(29), attempts=1, outcome="done")]
    assert phases(at(0), at(20), unended, VERIFY).total == 29


def test_attempts_of_a_step_are_one_record():
    merged = merge_attempts(
        [
            record("b", 3, 4),
            record("a", 1, 2, outcome="done"),
            record("a", 0, 1, outcome="failed", detail="no"),
        ]
    )
    assert [(r.name, r.attempts, r.outcome, r.detail) for r in merged] == [
        ("a", 2, "done", ""),
        ("b", 1, "done", ""),
    ]
    assert (merged[0].started, merged[0].ended) == (at(0), at(2))


def test_a_resumed_run_does_not_move_the_time_of_what_was_done():
    merged = merge_attempts([record("a", 0, 1, result={"x": 1}), record("a", 50, 51, result={"x": 2})])
    assert [(r.ended, r.attempts, r.result) for r in merged] == [(at(1), 2, {"x": 1})]


def test_a_verification_that_fails_later_does_not_undo_what_was_done():
    merged = merge_attempts([record("a", 0, 1), record("a", 50, 51, outcome="failed", detail="away")])
    assert [(r.outcome, r.detail, r.attempts) for r in merged] == [("done", "", 2)]


def tier(rto="1 hour", rpo="15 minutes"):
    return SlaTier.model_validate({"rto": rto, "rpo": rpo, "availability": "99.95%", "support": "24/7"})


def took(total):
    return Phases(detect=0, decide=0, execute=total, verify=0, total=total)


def lost(seconds):
    return Loss(lost_transactions=1, lost_seconds=seconds, basis="exact")


@pytest.mark.parametrize(
    ("total", "seconds", "told"),
    [
        (3600, 900, "met"),
        (3600.1, 900, "missed RTO"),
        (3600, 900.1, "missed RPO"),
        (3601, 901, "missed RTO and RPO"),
    ],
)
def test_the_verdict_names_each_objective_that_was_missed(total, seconds, told):
    assert verdict(took(total), lost(seconds), tier()) == told


@pytest.mark.parametrize(("total", "told"), [(10, "RPO unknown"), (10**6, "missed RTO, RPO unknown")])
def test_a_loss_that_is_not_known_meets_no_objective(total, told):
    assert verdict(took(total), bound_loss(None, promotion(), at(0)), tier()) == told
