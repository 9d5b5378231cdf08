"""Decisions of a move in steps: which weights come next, and whether a step held. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from tasks.clients.traffic.standing import split
from tasks.facts.traffic import Watched
from tasks.plan.traffic import Shift

Decision = Literal["go on", "wait", "return"]


def weights_to(now: Mapping[str, int], target: str, shares: Sequence[int]) -> list[dict[str, int]]:
    """The weights of each step from now until the target has what the last step gives it.

    A step that gives the target less than it has is left out; what the target does not have is left among
    the others as it is between them now.

    Args:
        now: each site's part of the users, in percent.
        target: the site that takes over.
        shares: the target's part after each step, rising.
    """
    others = {site: weight for site, weight in now.items() if site != target}
    rising = [share for share in shares if share >= now.get(target, 0)]
    if not any(others.values()):
        # Nobody is elsewhere, so nothing can be left there.
        rising = rising[-1:]
    return [split(100 - share, others) | {target: share} for share in rising]


def decide(seen: Watched, shift: Shift, room: int) -> Decision:
    """What to do after a try.

    Users return as soon as the failures are more than the limit allows of all tries that the pause has room
    for, since the rate cannot come below it any more; else the pause is waited for. A step that was never
    tried did not hold.

    Args:
        seen: the tries so far.
        shift: the plan's limit and pause.
        room: how many tries a pause has room for.
    """
    limit = shift.error_limit
    if seen.failures > limit * max(seen.tries, room):
        return "return"
    if seen.seconds < shift.pause.total_seconds():
        return "wait"
    return "go on" if seen.tries and seen.failures <= limit * seen.tries else "return"
