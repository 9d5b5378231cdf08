"""Things that need each other in a business order: services, and business processes."""

from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from tasks.plan.mistakes import Mistake
from tasks.plan.services import Turn

Turns = Mapping[str, Turn]
Place = Callable[[str], str]


class Noun(NamedTuple):
    """What they are called."""

    one: str
    many: str


def dependencies_of(turns: Turns, place: Place, noun: Noun) -> Iterator[Mistake]:
    """Each dependency is another one, once, and never of a later priority."""
    for name, turn in turns.items():
        others = ", ".join(other for other in turns if other != name) or f"there is no other {noun.one}"
        for index, wanted in enumerate(turn.depends_on):
            path = f"{place(name)}.depends_on.{index}"
            if wanted not in turns:
                yield Mistake(path, f"there is no {noun.one} {wanted}", f"one of {others}")
            elif wanted in turn.depends_on[:index]:
                yield Mistake(path, f"{wanted} is named before", f"each {noun.one} once")
            elif turns[wanted].priority > turn.priority:
                wrong = f"{wanted} has the later priority {turns[wanted].priority}"
                yield Mistake(path, wrong, f"{noun.many} of priority {turn.priority} or before")


def circle_in(turns: Turns, place: Place) -> Iterator[Mistake]:
    """None needs itself, directly or through others."""
    try:
        TopologicalSorter({name: turn.depends_on for name, turn in turns.items()}).prepare()
    except CycleError as error:
        # graphlib tells it from a dependency to what needs it, the first again at the end.
        circle = list(reversed(error.args[1]))
        told = f"a circle: {' needs '.join(circle)}"
        yield Mistake(f"{place(circle[0])}.depends_on", told, "dependencies that begin somewhere")
