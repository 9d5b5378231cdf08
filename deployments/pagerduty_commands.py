"""`dr pagerduty`: whether PagerDuty escalates as the plan says, and to make it so."""

import typer

from deployments.environment import active_plan
from tasks.clients.paging import Paging, Standing, paging
from tasks.errors import Permanent, Refused
from tasks.plan.paging import PagingPolicy
from tasks.plan.plan import Plan
from tasks.policy.paging import differences, levels, wrong_key

pagerduty = typer.Typer(help="PagerDuty's own escalation policy.", no_args_is_help=True)
_HINT = "put the integration's key, as PagerDuty shows it, behind notifications.pagerduty.routing_key"


@pagerduty.command()
def check() -> None:
    """Say in what PagerDuty differs from the plan; exit 1 where it does."""
    plan = active_plan()
    settings = _settings(plan)
    with paging(plan) as account:
        found = account.standing()
    told = [*differences(plan.alerting, settings, found), *_beyond_us(settings, found)]
    for each in told or ["PagerDuty escalates as the plan says"]:
        print(each)
    if told:
        raise typer.Exit(1)


@pagerduty.command()
def apply() -> None:
    """Make PagerDuty escalate as the plan says; again changes nothing."""
    plan = active_plan()
    settings = _settings(plan)
    with paging(plan) as account:
        found = account.standing()
        if found.unknown:
            told = f"PagerDuty does not know {', '.join(found.unknown)}"
            raise Refused(told, hint="see notifications.pagerduty.escalation.recipients")
        mended = differences(plan.alerting, settings, found)
        if mended:
            found = _mend(plan, settings, account, found)
    for each in mended:
        print(f"was: {each}")
    left = [*differences(plan.alerting, settings, found), *_beyond_us(settings, found)]
    if left:
        raise Permanent("PagerDuty does not page as the plan says", "; ".join(left), _HINT)
    print("PagerDuty escalates as the plan says")


def _mend(plan: Plan, settings: PagingPolicy, account: Paging, found: Standing) -> Standing:
    policy = account.write_policy(levels(plan.alerting, settings), found.policy)
    account.write_service(policy, found.service)
    return account.standing()


def _beyond_us(settings: PagingPolicy, found: Standing) -> list[str]:
    """What only people can mend."""
    unknown = [f"PagerDuty does not know {each}" for each in found.unknown]
    wrong = wrong_key(settings, found.service)
    return [*unknown, wrong] if wrong else unknown


def _settings(plan: Plan) -> PagingPolicy:
    channel = plan.notifications.pagerduty
    if channel is None or channel.escalation is None:
        raise Refused("the plan leaves escalation to us", "notifications.pagerduty.escalation is missing")
    return channel.escalation
