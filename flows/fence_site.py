"""Fence the failed site; without proof, only a commander lets the recovery go on."""

from tasks.errors import Unproven
from tasks.facts.fence import Fence
from tasks.facts.incident import Incident
from tasks.fence import fence
from tasks.notify import notify
from tasks.override import ask_override, given_override, go_unproven, went_unproven
from tasks.plan.plan import Plan


def fence_site(plan: Plan, case: Incident, override: str) -> Fence:
    """Prove that the failed site takes no writes, or have a commander answer for it.

    Args:
        plan: the plan.
        case: the incident.
        override: a commander's statement that this run was started with; empty for none.

    Raises:
        Unproven: neither proof nor a commander's word.
    """
    if case.resumed and (before := went_unproven(plan, case)):
        return before
    try:
        return fence(plan, case)
    except Unproven as unproven:
        word = given_override(plan, case, override)
        if word is None:
            told = notify.submit(plan, case, "failed", note=f"{unproven.message.capitalize()}.")
            word = ask_override(plan, case, unproven)
            told.wait()
        return go_unproven(plan, case, word)
