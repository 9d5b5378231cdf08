"""The report of an incident as its readers see it."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.facts.incident import StepRecord
from tasks.facts.loss import Divergence, Loss
from tasks.facts.report import Phases, Report, Targets
from tasks.policy.words import report_markdown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOSS = Loss(lost_transactions=3, lost_seconds=0.5, basis="bound")
STEP = StepRecord(name="fence", started=NOON, ended=NOON + timedelta(seconds=1), attempts=1, outcome="done")
RETURNED = Divergence(
    node="north-1", commits=3, with_rows=3, unacknowledged=0, first_commit=NOON, last_commit=NOON, saved=()
)


def report(**changed):
    fields = {
        "incident": "inc-1",
        "verdict": "met",
        "reason": "no power",
        "failed_site": "north",
        "to_site": "south",
        "epoch": 1,
        "detected_at": NOON,
        "recovered_at": NOON,
        "first_write_at": NOON,
        "targets": Targets(tier="premium", rto_seconds=3600, rpo_seconds=900),
        "rto_seconds": Phases(detect=20, decide=1, execute=2, verify=0.5, total=23.5),
        "rpo": LOSS,
        "bound": LOSS,
        "ledger": None,
        "steps": (STEP,),
    }
    return Report(**fields | changed)


def test_it_begins_with_what_happened_and_whether_that_was_good_enough():
    lines = report_markdown(report(verdict="missed RTO")).splitlines()
    assert lines[0] == "# inc-1"
    assert lines[2] == (
        "south took over from north, which was lost. Objectives of the premium tier: **missed RTO** "
        "(23.5 s of 3600 s)."
    )


def test_what_is_left_to_do_is_told_until_it_is_done():
    assert "once north is there again, start `bring-back`" in report_markdown(report())
    assert "bring-back" not in report_markdown(report(divergence=RETURNED))
    moved = report_markdown(report(kind="switchover", write_pause_seconds=2.5))
    assert "took over from north as planned" in moved
    assert "bring-back" not in moved


@pytest.mark.parametrize("said", ["", "declared by ada, at 2026-01-01 12:00:00 UTC"])
def test_who_declared_it_stands_in_it_where_somebody_did(said):
    assert ("| declared |" in report_markdown(report(declared=said))) is bool(said)


def test_what_people_write_does_not_break_the_table():
    page = report_markdown(report(reason="no power\nno line | no idea"))
    assert "| reason | no power no line \\| no idea |" in page.splitlines()
