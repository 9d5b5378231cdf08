"""Which WAL is the primary's own: its timeline and the timelines it came from. Pure.

Source: PostgreSQL manual, "Continuous Archiving: Timelines".
"""

from collections.abc import Iterator, Mapping, Sequence

from tasks.clients.walnames import Segment
from tasks.facts.archive import Names
from tasks.facts.archiver import PrimaryFact

_SHOWN = 5


def on_line(primary: PrimaryFact, segment: Segment) -> bool:
    """Whether a segment holds WAL that the primary has; its parents' beyond the switch is another's."""
    return segment.timeline == primary.timeline or segment.number < ends(primary).get(segment.timeline, 0)


def ends(primary: PrimaryFact) -> dict[int, int]:
    """For each parent, oldest first, the number of the segment in which it was left.

    That segment is read from the child: of the parent it is archived as partial only.
    """
    return {switch.parent: switch.lsn // primary.segment_size for switch in primary.history or ()}


def line(primary: PrimaryFact, start: Segment, newest: Segment) -> Iterator[tuple[int, int, int]]:
    """What a recovery reads from one segment to another: timelines, each with its first and last number."""
    number = start.number
    for timeline, end in (*ends(primary).items(), (primary.timeline, newest.number + 1)):
        last = min(end, newest.number + 1)
        if timeline >= start.timeline and number < last:
            yield timeline, number, last - 1
            number = last


def is_known(primary: PrimaryFact, timeline: int) -> bool:
    """Whether the primary is or was on a timeline."""
    return timeline == primary.timeline or any(each.parent == timeline for each in primary.history or ())


def ahead_of(primary: PrimaryFact, held: Mapping[int, Sequence[tuple[int, int]]]) -> Names:
    """Segments of the primary's timeline beyond where it is: it never wrote them."""
    current = primary.lsn // primary.segment_size
    beyond = [
        (max(first, current + 1), last) for first, last in held.get(primary.timeline, ()) if last > current
    ]
    named = [Segment(primary.timeline, first).name(primary.segment_size) for first, _ in beyond]
    return Names(tuple(named[:_SHOWN]), sum(last - first + 1 for first, last in beyond))
