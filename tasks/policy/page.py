"""A report as one page that stands for itself: no network, no script, pictures drawn in SVG. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.facts.incident import StepRecord
from tasks.facts.report import Report
from tasks.facts.sealed import Seal
from tasks.policy.picture import LABEL, PAGES, ROW, WIDTH, Bar, Past, ticks, trend, width_of, x_of
from tasks.policy.words import loss_words, measured, summary

_PHASES = ("detect", "decide", "execute", "verify")


def page(report: Report, past: Sequence[Past]) -> str:
    """The page of one incident.

    Args:
        report: its evidence.
        past: the reports before it; those of its kind become the trend.
    """
    recovery = [step for step in report.steps if step.started <= report.recovered_at]
    began = report.detected_at - timedelta(seconds=report.rto_seconds.detect)
    scale = _scale(began, recovery, report.rto_seconds.total)
    return PAGES.get_template("page.html.j2").render(
        report=report,
        began=began,
        summary=summary(report),
        loss=loss_words(report.rpo),
        rows=measured(report),
        phases=_phases(report, scale),
        steps=_steps(recovery, began, scale),
        ticks=ticks(scale),
        height=ROW * (len(recovery) + 3),
        trend=trend(past, Past.of(report)),
        width=WIDTH,
        label=LABEL,
        row=ROW,
    )


def index(seals: Sequence[Seal], flaws: Sequence[str]) -> str:
    """The page that leads to all of them, newest first, and says whether the chain is whole."""
    return PAGES.get_template("index.html.j2").render(seals=list(reversed(seals)), flaws=flaws)


def _scale(began: datetime, steps: Sequence[StepRecord], total: float) -> float:
    """Seconds that the picture is wide."""
    ends = ((step.ended or step.started) - began for step in steps)
    return max([total, *(end.total_seconds() for end in ends), 1.0])


def _phases(report: Report, scale: float) -> list[Bar]:
    bars, at = [], 0.0
    for name in _PHASES:
        seconds = getattr(report.rto_seconds, name)
        bars.append(Bar(x_of(at, scale), 0, width_of(seconds, scale), name, name, f"{name}: {seconds:.1f} s"))
        at += seconds
    return bars


def _steps(steps: Sequence[StepRecord], began: datetime, scale: float) -> list[Bar]:
    found = []
    for place, step in enumerate(steps):
        since = (step.started - began).total_seconds()
        took = ((step.ended or step.started) - step.started).total_seconds()
        told = f"{step.name}: {took:.3f} s, attempt {step.attempts}, {step.outcome}"
        y = ROW * (place + 2)
        found.append(Bar(x_of(since, scale), y, width_of(took, scale), step.outcome, step.name, told))
    return found
