"""Pictures of time, drawn in SVG by the pages' templates. Pure."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.facts.drill import DrillReport
from tasks.facts.report import Report

WIDTH, ROW, LABEL = 900, 22, 270
TREND = 20
_SPAN = WIDTH - LABEL - 80  # what is left for the bars, and for words behind them
_LEAST = 2.0
PAGES = Environment(
    loader=PackageLoader("tasks.policy"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


class Past(NamedTuple):
    """An earlier report, for the trend."""

    name: str
    kind: str
    seconds: float
    verdict: str

    @classmethod
    def of(cls, report: Report) -> Self:
        """What the trend needs of a report."""
        return cls(report.incident, report.kind, report.rto_seconds.total, report.verdict)

    @classmethod
    def of_drill(cls, report: DrillReport) -> Self:
        """The same of a drill's: its slowest restore."""
        slowest = max((trial.took_s for trial in report.trials), default=0.0)
        return cls(report.drill.id, report.drill.kind, slowest, report.verdict)


class Bar(NamedTuple):
    """A bar of a picture, in its units, with what it says."""

    x: float
    y: float
    width: float
    kind: str
    label: str
    told: str


def ticks(scale: float) -> list[tuple[float, str]]:
    """Some round moments along the picture.

    Args:
        scale: the seconds that it is wide.
    """
    step = next(size for size in (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 10**9) if scale / size <= 10)
    return [(x_of(number * step, scale), f"{number * step:g} s") for number in range(int(scale / step) + 1)]


def trend(past: Sequence[Past], now: Past) -> list[Bar]:
    """The last runs of a kind, the newest at the bottom.

    Args:
        past: the runs before it, of any kind.
        now: the newest.
    """
    runs = [*[each for each in past if each.kind == now.kind][-TREND:], now]
    most = max(run.seconds for run in runs) or 1.0
    return [
        Bar(LABEL, ROW * place, width_of(run.seconds, most), run.verdict, run.name, f"{run.seconds:.1f} s")
        for place, run in enumerate(runs)
    ]


def x_of(seconds: float, scale: float) -> float:
    """Where a moment lies in the picture."""
    return round(LABEL + max(0.0, seconds) / scale * _SPAN, 1)


def width_of(seconds: float, scale: float) -> float:
    """How wide a span of time is in it."""
    return round(max(_LEAST, seconds / scale * _SPAN), 1)
