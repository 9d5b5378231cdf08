"""Readiness in words. Pure."""

from tasks.facts.readiness import Check, Readiness
from tasks.policy.tables import moment, table


def readiness_markdown(found: Readiness) -> str:
    """An evaluation as one page: the standing, what speaks against it, and every answer."""
    head = f"# {found.service}: {found.standing}\n\nat {moment(found.at)} UTC"
    parts = [head, table(("check", "standing", "seen"), [_row(check) for check in found.checks])]
    if found.reasons:
        against = [(each.name, each.severity, each.detail, each.hint) for each in found.reasons]
        parts.append(table(("what speaks against it", "severity", "seen", "next"), against))
    well = [
        (check.name, each.name, each.detail)
        for check in found.checks
        for each in check.findings
        if each.severity == "ok"
    ]
    parts.append(table(("check", "what is well", "seen"), well))
    return "\n\n".join(parts)


def _row(check: Check) -> tuple[str, str, str]:
    well = sum(each.severity == "ok" for each in check.findings)
    return check.name, check.standing, f"{well} of {len(check.findings)} well"
