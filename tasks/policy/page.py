"""A report as one page that stands for itself: no network, no script, pictures drawn in SVG. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.facts.incident import StepRecord
from tasks.facts.report import Report
from tasks.facts.sealed import Seal
from tasks.policy.words import loss_words, measured, summary

_PHASES = ("detect", "decide", "execute", "verify")
_WIDTH, _ROW, _LABEL = 900, 22, 270
_SPAN = _WIDTH - _LABEL - 80  # what is left for the bars, and for words behind them
_LEAST = 2.0
_TREND = 20
PAGES = Environment(
    loader=PackageLoader("tasks.policy"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


class Past(NamedTuple):
    """An earlier report, for the trend."""

    incident: str
    kind: str
    seconds: float
    verdict: str

    @classmethod
    def of(cls, report: Report) -> Self:
        """What the trend needs of a report."""
        return cls(report.incident, report.kind, report.rto_seconds.total, report.verdict)


class Bar(NamedTuple):
    """A bar of a picture, in its units, with what it says."""

    x: float
    y: float
    width: float
    kind: str
    label: str
    told: str


def page(report: Report, past: Sequence[Past]) -> str:
    """The page of one incident.

    Args:
        report: its evidence.
        past: the reports before it; those of its kind become the trend.
    """
    recovery = [step for step in report.steps if step.started <= report.recovered_at]
    began = report.detected_at - timedelta(seconds=report.rto_seconds.detect)
    scale = _scale(began, recovery, report.rto_seconds.total)
    alike = [each for each in past if each.kind == report.kind][-_TREND:]
    return PAGES.get_template("page.html.j2").render(
        report=report,
        began=began,
        summary=summary(report),
        loss=loss_words(report.rpo),
        rows=measured(report),
        phases=_phases(report, scale),
        steps=_steps(recovery, began, scale),
        ticks=_ticks(scale),
        height=_ROW * (len(recovery) + 3),
        trend=_trend([*alike, Past.of(report)]),
        width=_WIDTH,
        label=_LABEL,
        row=_ROW,
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
        bars.append(Bar(_x(at, scale), 0, _wide(seconds, scale), name, name, f"{name}: {seconds:.1f} s"))
        at += seconds
    return bars


def _steps(steps: Sequence[StepRecord], began: datetime, scale: float) -> list[Bar]:
    found = []
    for place, step in enumerate(steps):
        since = (step.started - began).total_seconds()
        took = ((step.ended or step.started) - step.started).total_seconds()
        told = f"{step.name}: {took:.3f} s, attempt {step.attempts}, {step.outcome}"
        y = _ROW * (place + 2)
        found.append(Bar(_x(since, scale), y, _wide(took, scale), step.outcome, step.name, told))
    return found


def _ticks(scale: float) -> list[tuple[float, str]]:
    """Some round moments along the picture."""
    step = next(size for size in (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 10**9) if scale / size <= 10)
    return [(_x(number * step, scale), f"{number * step:g} s") for number in range(int(scale / step) + 1)]


def _trend(runs: Sequence[Past]) -> list[Bar]:
    """Each run's whole outage, the newest at the bottom."""
    most = max(run.seconds for run in runs) or 1.0
    return [
        Bar(_LABEL, _ROW * place, _wide(run.seconds, most), run.verdict, run.incident, f"{run.seconds:.1f} s")
        for place, run in enumerate(runs)
    ]


def _x(seconds: float, scale: float) -> float:
    return round(_LABEL + max(0.0, seconds) / scale * _SPAN, 1)


def _wide(seconds: float, scale: float) -> float:
    return round(max(_LEAST, seconds / scale * _SPAN), 1)
