"""Recover the further services in business order. Source: the seed's "Recovery Procedures"."""

from collections.abc import Mapping

from tasks.activate import activate_service, stand_down_service
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.policy.order import Numbered, around, not_recovered, stopped, waves

Failed = Mapping[str, str]


def activate_first(plan: Plan, case: Incident) -> Failed:
    """Recover the services that go before the main one: before users arrive.

    Returns:
        those that failed, each with why; the main one does without them.

    Raises:
        Permanent: the main service needs what failed.
    """
    before, _ = around(plan.turns, plan.service.name)
    failed = _activate(plan, case, before, {})
    if plan.service.name in stopped(plan.turns, failed):
        raise not_recovered(plan.turns, failed, case.id)
    return failed


def activate_rest(plan: Plan, case: Incident, failed: Failed) -> None:
    """Recover the other services, once the main one serves its users.

    Raises:
        Permanent: services failed, these or those before; all that does not need them is recovered.
    """
    _, rest = around(plan.turns, plan.service.name)
    failed = _activate(plan, case, rest, failed)
    if failed:
        raise not_recovered(plan.turns, failed, case.id)


def stand_down(plan: Plan, case: Incident) -> None:
    """Stop the services at the site that is not active any more, those that need others first."""
    for wave in reversed(waves(plan.turns)):
        stopping = [stand_down_service.submit(plan, case, name) for name in wave if name in plan.services]
        for each in stopping:
            each.result()


def _activate(plan: Plan, case: Incident, numbered: Numbered, failed: Failed) -> Failed:
    """Wave by wave, side by side within one; what does not need what failed goes on."""
    for number, names in numbered:
        held = stopped(plan.turns, failed)
        begun = [name for name in names if name in plan.services and name not in held]
        runs = {name: activate_service.submit(plan, case, name, number) for name in begun}
        found = {name: run.result(raise_on_failure=False) for name, run in runs.items()}
        failed = {**failed, **{name: str(why) for name, why in found.items() if isinstance(why, Exception)}}
    return failed
