"""The evidence of a drill: kept in every site's store, shown in the UI, sealed like an incident's."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.artifacts import create_markdown_artifact

from tasks.clients import records
from tasks.drill_evidence import FOLDER, read_drill_reports
from tasks.errors import Permanent
from tasks.facts.drill import Act, Drill, DrillReport, Finding, Impact, Trial
from tasks.plan.plan import Plan
from tasks.policy.drill import MOVING, SWEEP, findings_of, harm, is_open, recommendations, verdict_of
from tasks.policy.drill_words import report_markdown
from tasks.retry import retried


@retried("write the drill's report")
def write_drill_report(  # noqa: PLR0913 -- what a drill comes to
    plan: Plan,
    drill: Drill,
    trials: Sequence[Trial],
    acts: Sequence[Act],
    before: Impact | None,
    after: Impact | None,
) -> DrillReport:
    """Judge the drill, and keep and show what it came to.

    Raises:
        Transient: no store takes it.
    """
    now = datetime.now(UTC)
    impact = harm(before, after, moved=drill.kind in MOVING)
    left = tuple(each.detail for each in acts if each.name == SWEEP and each.outcome != "passed")
    owner = drill.participants["owner of findings"]
    found = findings_of(drill, trials, _open_findings(plan, drill), owner, now + plan.drills.mend_within)
    report = DrillReport(
        drill=drill,
        ended=now,
        verdict=verdict_of(trials, impact, left),
        trials=tuple(trials),
        acts=tuple(acts),
        before=before,
        after=after,
        impact=impact,
        left=left,
        findings=found,
        recommendations=recommendations(drill, trials, found),
    )
    records.write(plan, f"{FOLDER}/{drill.id}/report.json", report.model_dump_json())
    create_markdown_artifact(
        key=f"{drill.id.lower()}-report", markdown=report_markdown(report), description=report.verdict
    )
    return report


@retried("require that the drill passed", times=0)
def require_passed(report: DrillReport) -> None:
    """Fail the run of a drill that did not pass.

    Raises:
        Permanent: it did not; what is wrong, is the detail.
    """
    if report.verdict != "passed":
        wrong = [f"{each.name}: {each.wrong.name}" for each in report.trials if each.wrong]
        told = "; ".join([*wrong, *report.impact, *report.left])
        raise Permanent(f"the drill {report.drill.id} {report.verdict}", told, "see its report")


def _open_findings(plan: Plan, drill: Drill) -> tuple[Finding, ...]:
    """Those of the last drill of its kind that still had to be mended."""
    earlier = [each for each in read_drill_reports(plan) if each.drill.kind == drill.kind]
    return tuple(each for each in earlier[-1].findings if is_open(each)) if earlier else ()
