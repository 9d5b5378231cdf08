"""A drill in words. Pure."""

from collections.abc import Iterable

from tasks.facts.drill import Drill, DrillReport, Finding, Trial
from tasks.policy.tables import moment, span, table

SCENARIO = (
    "A disaster or a mistake has destroyed an asset, and one site's copy of the backups is all there is. "
    "Regions, accounts and disks were lost so before, and backups that verified did not restore"
)
ASSUMPTIONS = (
    "the recovery key and the repositories' keys can be read",
    "a database host that does not lead has room for a copy",
    "times are those of the hosts' own clocks, which NTP keeps together",
)
CRITERIA = (
    "every asset comes back from every site's copy: the newest point, and one by chance",
    "the database passes pg_amcheck, and its rows equal those of a standby at the same WAL position",
    "the plan's invariants hold in it",
    "files, configuration, secrets and Redis equal what was stored, by their checksums",
    "each restore ends within the tier's RTO",
    "production, its replication and its users are not touched",
    "nothing is left behind",
)


def drill_markdown(drill: Drill) -> str:
    """What was fixed beforehand."""
    parts = [
        f"# {drill.id}",
        f"{drill.reason}; begun {moment(drill.began)} UTC",
        _listed("Scope", scope_words(drill)),
        _listed("Pass criteria", drill.criteria),
        _listed("Assumptions", drill.assumptions),
    ]
    if drill.excluded:
        parts.append(_listed("Left out", [f"{name}: {why}" for name, why in drill.excluded.items()]))
    return "\n\n".join(parts)


def scope_words(drill: Drill) -> list[str]:
    """Each asset, and whose copies of it are tried."""
    assets = dict.fromkeys(asset for asset, _ in drill.copies)
    return [
        f"{each} from {', '.join(site for asset, site in drill.copies if asset == each)}" for each in assets
    ]


def report_markdown(report: DrillReport) -> str:
    """A drill's report as one page."""
    head = f"# {report.drill.id}: {report.verdict}"
    passed = sum(trial.outcome == "passed" for trial in report.trials)
    told = (
        f"{passed} of {len(report.trials)} restores passed in {span(report.duration)}; {impact_words(report)}"
    )
    rows = [trial_row(trial) for trial in report.trials]
    parts = [head, told, table(("restore", "outcome", "point", "restore", "behind", "seen"), rows)]
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
    harm = "; ".join(report.impact) or "production was not touched"
    return f"{harm}; {'left behind: ' + ', '.join(report.left) if report.left else 'nothing was left behind'}"


def trial_row(trial: Trial) -> tuple[str, ...]:
    """A trial in a table: name, outcome, point, seconds, age, what was seen."""
    shown = [trial.wrong] if trial.wrong else [act for act in trial.acts if act.detail]
    seen = "; ".join(f"{act.name}: {act.detail}" for act in shown)
    behind = "" if trial.lost_s is None else f"{trial.lost_s:.0f} s"
    return trial.name, trial.outcome, trial.point, f"{trial.restore_s:.1f} s", behind, seen


def finding_row(finding: Finding) -> tuple[str, ...]:
    """A finding in a table."""
    due = f"{finding.due:%Y-%m-%d}"
    return finding.trial, finding.severity, finding.owner, due, finding.status, finding.what


def _listed(title: str, lines: Iterable[str]) -> str:
    listed = "\n".join(f"- {line}" for line in lines)
    return f"**{title}**\n\n{listed}"
