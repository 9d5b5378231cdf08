"""A drill's report as one page that stands for itself. Pure. Source: DORA RTS Art. 25, ISO 22301 8.5."""

from collections.abc import Sequence

from tasks.facts.drill import DrillReport, Trial
from tasks.policy.drill_words import finding_row, impact_words, scope_words, trial_row
from tasks.policy.picture import LABEL, PAGES, ROW, WIDTH, Bar, Past, ticks, trend, width_of, x_of


def drill_page(report: DrillReport, past: Sequence[Past]) -> str:
    """The page of one drill.

    Args:
        report: its evidence.
        past: the reports before it; those of its kind become the trend.
    """
    scale = max(1.0, report.duration.total_seconds())
    return PAGES.get_template("drill.html.j2").render(
        report=report,
        drill=report.drill,
        scope=scope_words(report.drill),
        impact=impact_words(report),
        passed=sum(trial.outcome == "passed" for trial in report.trials),
        slowest=max((trial.restore_s for trial in report.trials), default=0.0),
        behind=max((trial.lost_s or 0.0 for trial in report.trials if _tells_loss(trial)), default=0.0),
        trials=[trial_row(trial) for trial in report.trials],
        findings=[finding_row(each) for each in report.findings],
        bars=_bars(report, scale),
        ticks=ticks(scale),
        height=ROW * (len(report.trials) + 2),
        trend=trend(past, Past.of_drill(report)),
        width=WIDTH,
        label=LABEL,
        row=ROW,
    )


def _tells_loss(trial: Trial) -> bool:
    """Whether its age is a loss: a database is recovered from WAL, and the rest has its schedules."""
    return trial.asset == "database" and trial.variant == "newest"


def _bars(report: DrillReport, scale: float) -> list[Bar]:
    found = []
    for place, trial in enumerate(report.trials):
        if not trial.acts:
            continue
        since = (trial.acts[0].started - report.drill.began).total_seconds()
        took = (trial.acts[-1].ended - trial.acts[0].started).total_seconds()
        told = f"{trial.name}: {took:.1f} s, {trial.outcome}"
        y = ROW * (place + 1)
        found.append(Bar(x_of(since, scale), y, width_of(took, scale), trial.outcome, trial.name, told))
    return found
