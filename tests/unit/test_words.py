"""The report of an incident as its readers see it."""

import pytest
from reports import NOON, report

from tasks.facts.loss import Divergence
from tasks.policy.words import report_markdown

RETURNED = Divergence(
    node="north-1", commits=3, with_rows=3, unacknowledged=0, first_commit=NOON, last_commit=NOON, saved=()
)


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
