"""Continuity: switches that carry out the plan's own strategies, by flags that a recovery may set."""

from collections.abc import Iterator

from tasks.plan.continuity import Continuity
from tasks.plan.mistakes import Mistake
from tasks.plan.procedures import ContinuityStrategies
from tasks.plan.values import in_words

_PLACE = "continuity.switches"


def mitigations(continuity: Continuity, continuity_strategies: ContinuityStrategies) -> Iterator[Mistake]:
    """What a recovery does is one of the plan's strategies."""
    known = [step.name for step in continuity_strategies.mitigation]
    told = {f"{_PLACE}.{index}": each.mitigation for index, each in enumerate(continuity.switches)}
    if continuity.workarounds:
        told["continuity.workarounds"] = continuity.workarounds.mitigation
    for place, name in told.items():
        if name not in known:
            wrong = f"{name} is no mitigation of the continuity_strategies"
            yield Mistake(f"{place}.mitigation", wrong, f"one of {', '.join(known)}")


def switched_flags(continuity: Continuity) -> Iterator[Mistake]:
    """A switch has a flag that is there, to itself, and that leaves the recovery its proof."""
    seen: set[str] = set()
    for index, switch in enumerate(continuity.switches):
        path, flag = f"{_PLACE}.{index}.flag", continuity.flags.get(switch.flag)
        if flag is None:
            allowed = f"one of {', '.join(continuity.flags) or 'those in continuity.flags'}"
            yield Mistake(path, f"there is no flag {switch.flag}", allowed)
        elif flag.refuses_orders:
            wrong = f"with {switch.flag} no recovery could prove itself by an order"
            yield Mistake(path, wrong, "a flag that lets orders through; this one is set by hand")
        if switch.flag in seen:
            yield Mistake(path, f"{switch.flag} is switched before", "one switch a flag")
        seen.add(switch.flag)


def lingering(continuity: Continuity) -> Iterator[Mistake]:
    """No switch stays longer than any may."""
    for index, switch in enumerate(continuity.switches):
        if switch.linger > continuity.at_most:
            allowed = f"{in_words(continuity.at_most)} at most, as at_most says"
            yield Mistake(f"{_PLACE}.{index}.linger", "longer than any switch may stay", allowed)


CHECKS = (mitigations, switched_flags, lingering)
