"""A planned move begins only where everything is seen to be well, and tells of no loss in error."""

import pytest

from tasks.errors import Permanent
from tasks.facts.loss import Loss
from tasks.facts.move import Handover, MoveView
from tasks.facts.recovery import Promotion
from tasks.policy.recovery import loss_of_move
from tasks.policy.switchover import MAX_LAG_BYTES, reasons_against

WELL = MoveView(
    leader="north-1",
    standby_leader="south-1",
    lag_bytes=0,
    streams=True,
    absent=(),
    redis_linked=True,
    gateway_answers=True,
)


def test_nothing_speaks_against_a_move_between_two_sites_that_are_well():
    assert reasons_against(WELL) == ()
    assert reasons_against(WELL.model_copy(update={"lag_bytes": MAX_LAG_BYTES})) == ()


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ({"leader": None}, "failover"),
        ({"standby_leader": None}, "standby leader"),
        ({"streams": False}, "does not stream"),
        ({"lag_bytes": None}, "unknown"),
        ({"lag_bytes": MAX_LAG_BYTES + 1}, f"{MAX_LAG_BYTES + 1} bytes"),
        ({"absent": ("north-2",)}, "north-2"),
        ({"redis_linked": None}, "unknown"),
        ({"redis_linked": False}, "Redis"),
        ({"gateway_answers": False}, "gateway"),
    ],
)
def test_each_thing_that_is_not_well_speaks_against_it(planted, told):
    [reason] = reasons_against(WELL.model_copy(update=planted))
    assert told in reason


def test_all_reasons_are_told_at_once():
    assert len(reasons_against(WELL.model_copy(update={"streams": False, "redis_linked": False}))) == 2


def handed_over(final):
    return Handover(node="north-1", told_at="2026-01-01T12:00:00Z", final_lsn=final, received_lsn="0/5000100")


def begun_at(fork):
    return Promotion(
        node="south-1",
        address="10.0.0.1",
        first_write_at="2026-01-01T12:00:02Z",
        timeline=2,
        old_timeline=1,
        fork_lsn=fork,
        next_xid=1000,
        last_commit=None,
    )


def test_a_timeline_that_begins_at_the_old_ones_end_lost_nothing():
    expected = Loss(lost_transactions=0, lost_seconds=0.0, basis="exact", unacknowledged=0)
    assert loss_of_move(handed_over("0/5000100"), begun_at("0/5000100")) == expected


def test_a_timeline_that_begins_before_the_old_ones_end_is_no_clean_move():
    with pytest.raises(Permanent, match="lacks WAL"):
        loss_of_move(handed_over("0/50000A0"), begun_at("0/5000028"))
