"""What speaks against a drill that moves production. Pure."""

from tasks.facts.archive import Finding
from tasks.facts.readiness import Readiness
from tasks.plan.plan import Plan
from tasks.plan.values import in_words
from tasks.policy.readiness import DRILLS
from tasks.policy.tables import table


def risks(ready: Readiness) -> tuple[Finding, ...]:
    """What is not as it should be, but for drills: whoever holds one mends that."""
    return tuple(
        each
        for check in ready.checks
        if check.name != DRILLS
        for each in check.findings
        if each.severity != "ok"
    )


def question(plan: Plan, ready: Readiness) -> str:
    """What a commander is asked, as one page."""
    against = risks(ready)
    head = (
        f"# May {plan.service.name} be moved to the other site and back?\n\n"
        f"Writes pause for some seconds, twice; it stays there for {in_words(plan.drills.stay)}. "
        "The flow abort-drill brings it home sooner."
    )
    if not against:
        return f"{head}\n\nNothing speaks against it: everything that a recovery needs is ready."
    rows = [(each.name, each.severity, each.detail) for each in against]
    return f"{head}\n\nThis speaks against it:\n\n{table(('what', 'severity', 'seen'), rows)}"
