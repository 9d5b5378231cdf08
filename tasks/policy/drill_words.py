"""A drill in words. Pure."""

from collections.abc import Iterable, Sequence

from tasks.facts.drill import Drill, DrillReport, Finding, Question, Trial
from tasks.policy.drill import MOVING
from tasks.policy.drill_terms import TERMS
from tasks.policy.tables import moment, span, table


def drill_markdown(drill: Drill) -> str:
    """What was fixed beforehand."""
    parts = [
        f"# {drill.id}",
        f"{drill.reason}; begun {moment(drill.began)} UTC",
        _listed("Scope", drill.scope),
        _listed("Pass criteria", drill.criteria),
        _listed("Assumptions", drill.assumptions),
    ]
    if drill.excluded:
        parts.append(_listed("Left out", [f"{name}: {why}" for name, why in drill.excluded.items()]))
    return "\n\n".join(parts)


def question_markdown(question: Question) -> str:
    """What people are asked, and how they answer."""
    parameters = f"drill `{question.drill}`, question `{question.key}`, your name, yes or no, and a comment"
    return (
        f"# {question.key}\n\n{question.text}\n\n"
        f"{_listed('Asked', question.people)}\n\n"
        f"Answer with the deployment answer-drill: {parameters}."
    )


def copies_words(copies: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Each asset, and whose copies of it are tried."""
    assets = dict.fromkeys(asset for asset, _ in copies)
    return tuple(
        f"{each} from {', '.join(site for asset, site in copies if asset == each)}" for each in assets
    )


def report_markdown(report: DrillReport) -> str:
    """A drill's report as one page."""
    head = f"# {report.drill.id}: {report.verdict}"
    passed = sum(trial.outcome == "passed" for trial in report.trials)
    terms = TERMS[report.drill.kind]
    told = f"{passed} of {len(report.trials)} {terms.trials} passed in {span(report.duration)}"
    rows = [trial_row(trial) for trial in report.trials]
    parts = [
        head,
        f"{told}; {impact_words(report)}",
        table(("trial", "outcome", "point", "took", "behind", "seen"), rows),
    ]
    if report.findings:
        parts.append(
            table(
                ("finding", "severity", "owner", "due", "status", "what"), map(finding_row, report.findings)
            )
        )
    if report.recommendations:
        parts.append(_listed("Recommendations", report.recommendations))
    return "\n\n".join(parts)


def impact_words(report: DrillReport) -> str:
    """What the drill did to production."""
    well = "production is as it was before" if report.drill.kind in MOVING else "production was not touched"
    harm = "; ".join(report.impact) or well
    return f"{harm}; {'left behind: ' + ', '.join(report.left) if report.left else 'nothing was left behind'}"


def trial_row(trial: Trial) -> tuple[str, ...]:
    """A trial in a table: name, outcome, point, seconds, age, what was seen."""
    shown = [trial.wrong] if trial.wrong else [act for act in trial.acts if act.detail]
    seen = "; ".join(f"{act.name}: {act.detail}" for act in shown)
    behind = "" if trial.lost_s is None else f"{trial.lost_s:.0f} s"
    took = f"{trial.took_s:.1f} s" if trial.took_s else ""
    return trial.name, trial.outcome, trial.point, took, behind, seen


def finding_row(finding: Finding) -> tuple[str, ...]:
    """A finding in a table."""
    due = f"{finding.due:%Y-%m-%d}"
    return finding.trial, finding.severity, finding.owner, due, finding.status, finding.what


def _listed(title: str, lines: Iterable[str]) -> str:
    listed = "\n".join(f"- {line}" for line in lines)
    return f"**{title}**\n\n{listed}"
