"""A drill's report as one page that stands for itself. Pure. Source: DORA RTS Art. 25, ISO 22301 8.5."""

from collections.abc import Sequence

from tasks.facts.drill import DrillReport
from tasks.policy.drill_terms import TERMS
from tasks.policy.drill_words import finding_row, impact_words, trial_row
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
        terms=TERMS[report.drill.kind],
        impact=impact_words(report),
        passed=sum(trial.outcome == "passed" for trial in report.trials),
        slowest=max((trial.took_s for trial in report.trials), default=0.0),
        behind=max((trial.lost_s or 0.0 for trial in report.trials if trial.of_rpo), default=0.0),
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
