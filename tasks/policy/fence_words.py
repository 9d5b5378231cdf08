"""How the old primary was fenced, in Markdown; in red where nothing proves that it was. Pure."""

from collections.abc import Sequence

from tasks.facts.fence import Fence, FenceAttempt
from tasks.facts.report import Report
from tasks.policy.tables import moment, table

RED = "🔴"
_MEANS = (
    "If it still does, then once {to_site} is promoted **two sites take writes apart**. What only {site} has "
    "is saved and reported when it returns, and is not in the service."
)
_ASKED = (
    "Without proof, the recovery goes on only if a commander answers for it, naming {site} in a sentence."
)


def override_page(site: str, to_site: str, attempts: Sequence[FenceAttempt], wrong: str) -> str:
    """The question to the commanders, in Markdown: what is unknown, what was tried, what it may cost."""
    return "\n\n".join(
        [
            f"# {RED} Nothing proves that {site} takes no writes",
            *([f"**{wrong}.**"] if wrong else []),
            _MEANS.format(site=site, to_site=to_site),
            _attempts(attempts),
            _ASKED.format(site=site),
        ]
    )


def fence_notice(report: Report) -> list[str]:
    """What stands above everything else in a report: that the fence was not proven, or two sites wrote."""
    lines = []
    if report.fence and not report.fence.proven:
        lines.append(
            f"{RED} **NOT PROVEN that {report.failed_site} took no writes: {report.fence.overridden_by} "
            f"let the recovery go on at {moment(report.fence.proven_at)} UTC.**"
        )
    if wrote := _both_wrote(report):
        lines.append(f"{RED} **SPLIT BRAIN: {wrote}.**")
    return lines


def fence_rows(report: Report) -> list[tuple[str, str]]:
    """The fence's rows of a report."""
    fence = report.fence
    if fence is None:
        return []
    if fence.proven:
        return [("fence", f"proven: {fence.proof}")]
    said = f'{RED} **NOT PROVEN**; overridden by **{fence.overridden_by}**: "{_line(fence.statement)}"'
    bound = [("bound of the loss", f"{RED} holds only if {report.failed_site} has stopped")]
    return [("fence", said), *(bound if report.rpo.basis == "bound" else [])]


def fence_attempts(fence: Fence | None) -> list[str]:
    """What was tried, as a table; nothing where the plan's etcd decided."""
    return [_attempts(fence.attempts)] if fence and fence.attempts else []


def _both_wrote(report: Report) -> str:
    divergence = report.divergence
    late = divergence.last_commit if divergence and divergence.with_rows else None
    if late and late > report.first_write_at:
        seconds = (late - report.first_write_at).total_seconds()
        return f"{report.failed_site} still committed {seconds:.1f} s after {report.to_site} took writes"
    if report.second_primaries:
        return f"{', '.join(report.second_primaries)} took writes when {report.failed_site} came back"
    return ""


def _attempts(attempts: Sequence[FenceAttempt]) -> str:
    rows = [(each.name, each.outcome, f"{each.seconds:.1f} s", _line(each.detail)) for each in attempts]
    return table(("tried", "outcome", "took", "what was seen"), rows)


def _line(text: str) -> str:
    return " ".join(text.split())
