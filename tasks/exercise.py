"""The annual exercise: who is told, and what everybody is asked.

Source: the seed's "DR Testing Schedule", business continuity exercise; "Communication Templates".
"""

from collections.abc import Callable
from functools import partial

from tasks.clients.channels.message import Message, Stage
from tasks.clients.channels.senders import SENDERS
from tasks.clients.parallel import ask_all
from tasks.errors import DrError, Permanent
from tasks.facts.drill import Drill
from tasks.plan.plan import Plan
from tasks.policy.exercise import announcement
from tasks.retry import retried

_ALL_S = 15.0


@retried("tell everybody that this is an exercise", run_name="tell everybody: {stage}", times=0)
def announce(plan: Plan, drill: Drill, stage: Stage) -> str:
    """Send a message that is marked as an exercise through every channel; the last one closes the first.

    Args:
        plan: its channels.
        drill: the exercise.
        stage: "opened" at its begin, "recovered" at its end.

    Raises:
        Permanent: a channel did not take it.
    """
    message: Message = announcement(plan, drill, stage)
    jobs: dict[str, Callable[[], str]] = {
        name: partial(SENDERS[name], plan, message) for name in plan.alerting.order if _has(plan, name)
    }
    answers = ask_all(jobs, _ALL_S)
    failed = [f"{name}: {told.seen}" for name, told in answers.items() if isinstance(told, DrError)]
    if failed or not answers:
        raise Permanent("not every channel took the message", "; ".join(failed) or "the plan has no channel")
    return f"taken by {', '.join(answers)}"


def _has(plan: Plan, channel: str) -> bool:
    return getattr(plan.notifications, channel) is not None
