"""Say outside what is due about a disaster. Source: the seed's "Crisis Communication"."""

from datetime import UTC, datetime

from prefect import flow

from tasks.current import current_plan
from tasks.facts.crisis import Crisis, Telling
from tasks.inform import keep_page, pass_over, see_crisis, see_incidents, show_crisis, tell, tell_duty
from tasks.plan.plan import Plan
from tasks.policy.crisis import due, overtaken
from tasks.policy.duties import to_tell


@flow(persist_result=False)
def inform(incident: str | None = None) -> int:
    """Tell customers, partners and the public what is due now, and people here what they owe.

    It is started whenever something is due, and may be started at any time: nothing is told twice.

    Args:
        incident: the incident; all that were declared in the last two weeks where empty, and the status page
            is published as of now.
    """
    plan = current_plan()
    told = 0
    if incident is None:
        keep_page(plan)
    for name in see_incidents(plan, incident):
        crisis = see_crisis(plan, name)
        while crisis and (said := _say(plan, crisis)):
            told += len(said)
            crisis = see_crisis(plan, name)
        if crisis:
            for duty, stage in to_tell(plan, crisis, datetime.now(UTC)):
                tell_duty(plan, crisis, duty, stage)
            show_crisis(plan, crisis)
    return told


def _say(plan: Plan, crisis: Crisis) -> list[Telling]:
    """The next notice of each audience and channel, side by side."""
    now = datetime.now(UTC)
    for notice, audience, channel in overtaken(plan.crisis, crisis, now):
        pass_over(plan, crisis, notice, audience, channel)
    begun = [tell.submit(plan, crisis, *each) for each in due(plan.crisis, crisis, now)]
    return [each.result() for each in begun]
