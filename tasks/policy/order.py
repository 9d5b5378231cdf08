"""Business order: which service is recovered when, and what a failure stops. Pure."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from graphlib import TopologicalSorter
from itertools import groupby

from tasks.errors import Permanent
from tasks.facts.incident import StepRecord
from tasks.facts.services import Activation
from tasks.plan.services import Turn

Turns = Mapping[str, Turn]
Numbered = tuple[tuple[int, tuple[str, ...]], ...]

ACTIVATE, STAND_DOWN = "activate service", "stand down service"
"""How the names of the steps begin; the service's name follows."""


def waves(turns: Turns) -> tuple[tuple[str, ...], ...]:
    """Who is recovered side by side, one wave after the other.

    A service is in the first wave after all that it depends on and after all services of smaller priority.

    Args:
        turns: each service's turn; no dependency is missing, in a circle, or of a later priority.
    """
    placed: dict[str, int] = {}
    needs = TopologicalSorter({name: turn.depends_on for name, turn in turns.items()})
    by_priority = sorted(needs.static_order(), key=lambda name: turns[name].priority)
    for _, names in groupby(by_priority, key=lambda name: turns[name].priority):
        first = max(placed.values(), default=-1) + 1
        for name in names:
            placed[name] = max([first, *(placed[wanted] + 1 for wanted in turns[name].depends_on)])
    last = max(placed.values(), default=-1)
    return tuple(tuple(name for name in turns if placed[name] == wave) for wave in range(last + 1))


def around(turns: Turns, main: str) -> tuple[Numbered, Numbered]:
    """The waves before the main service's own, and those from it on, each with its number, from 1."""
    numbered = tuple(enumerate(waves(turns), 1))
    own = next(number for number, names in numbered if main in names)
    return numbered[: own - 1], numbered[own - 1 :]


def stopped(turns: Turns, failed: Collection[str]) -> dict[str, str]:
    """The services that cannot be begun, each with the one that it needs and that is not there.

    Args:
        turns: each service's turn.
        failed: what failed; what depends on it, directly or through others, is stopped.
    """
    held: dict[str, str] = {}
    for name in (each for wave in waves(turns) for each in wave if each not in failed):
        missing = (wanted for wanted in turns[name].depends_on if wanted in failed or wanted in held)
        if wanted := next(missing, ""):
            held[name] = wanted
    return held


def foretold(turns: Turns, main: str) -> list[str]:
    """The names of the steps that recover the other services, in order."""
    return [f"{ACTIVATE} {name}" for wave in waves(turns) for name in wave if name != main]


def not_recovered(turns: Turns, failed: Mapping[str, str], incident: str) -> Permanent:
    """What is told where services failed.

    Args:
        turns: each service's turn.
        failed: the services that failed, each with why.
        incident: what is resumed once they are mended.
    """
    held = stopped(turns, failed)
    told = [f"{name} failed: {'; '.join(why.splitlines())}" for name, why in failed.items()]
    told += [f"not begun: {name} needs {wanted}" for name, wanted in held.items()]
    return Permanent(
        f"not recovered: {', '.join((*failed, *held))}",
        "\n".join(told),
        f"mend what failed, then `dr incident resume {incident}`: what is recovered stays so",
    )


def recovered(
    turns: Turns, main: str, served_at: datetime, steps: Iterable[StepRecord]
) -> tuple[Activation, ...]:
    """What was recovered, wave by wave.

    Args:
        turns: each service's turn.
        main: the main service, which other steps recover.
        served_at: when it served its first user.
        steps: the merged records of the incident's steps.
    """
    own = next(number for number, names in enumerate(waves(turns), 1) if main in names)
    found = [Activation.model_validate(s.result) for s in steps if s.name.startswith(ACTIVATE) and s.result]
    return tuple(
        sorted(
            (Activation(service=main, wave=own, at=served_at), *found), key=lambda each: (each.wave, each.at)
        )
    )
