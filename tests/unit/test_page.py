"""A report's page stands for itself, shows the recovery, and repeats nobody's markup."""

import re
from datetime import timedelta

from reports import NOON, STEP, report

from tasks.facts.sealed import Seal
from tasks.policy.page import index, page
from tasks.policy.picture import Past

LATER = STEP.model_copy(
    update={
        "name": "rejoin as a standby",
        "started": NOON + timedelta(hours=8),
        "ended": NOON + timedelta(hours=9),
    }
)


def bars(text, kind):
    return [float(width) for width in re.findall(rf'<rect class="{kind}"[^>]* width="([0-9.]+)"', text)]


def test_the_phases_are_drawn_to_scale():
    text = page(report(recovered_at=NOON + timedelta(seconds=3)), ())
    [detect], [execute] = bars(text, "detect"), bars(text, "execute")
    assert 9 < detect / execute < 11  # 20 s and 2 s
    assert "execute: 2.0 s" in text


def test_what_came_long_after_the_recovery_is_told_but_does_not_stretch_the_picture():
    text = page(report(steps=(STEP, LATER)), ())
    assert "rejoin as a standby" in text
    assert len(bars(text, "done")) == 1
    assert bars(text, "detect")[0] > 300


def test_what_people_wrote_is_text():
    text = page(report(reason="<script>alert(1)</script>"), ())
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_trend_has_runs_of_its_kind_only():
    past = [Past("inc-a", "failover", 10, "missed RTO"), Past("inc-b", "switchover", 3, "met")]
    text = page(report(), past)
    assert "inc-a" in text
    assert "inc-b" not in text
    assert len(bars(text, "bad")) == 1


def test_nothing_is_loaded_from_anywhere():
    assert not re.search(r"https?://|src=|@import|url\(", page(report(), ()))


def test_the_index_says_first_what_is_wrong():
    seal = Seal(
        number=1, subject="inc-1", files={"report.html": "ab"}, previous="", sealed_at=NOON, kept_until=NOON,
        verdict="met",
    )  # fmt: skip
    assert "inc-1/report.html" in index([seal], ())
    assert "whole</span> 1 reports" in index([seal], ())
    assert "link 2 is missing" in index([seal], ["link 2 is missing"])
