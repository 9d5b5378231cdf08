"""Which archived WAL a standby lacks, what of it can be replayed, and what was. Pure.

Source: PostgreSQL manual, "Continuous Archiving: Timelines".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from tasks.clients.archive_ahead import Ahead
from tasks.clients.postgres import Position
from tasks.clients.standby import Standby
from tasks.clients.walnames import Segment, Switch, format_lsn, parse_lsn
from tasks.facts.archiver import PrimaryFact
from tasks.facts.replay import Replay
from tasks.policy.lineage import line, on_line

# As many are copied before the standby is waited for: it reads some ten a second.
_WAVE = 16
_NOTHING = "no archive that answers has more than the standby"
Histories = Mapping[int, tuple[Switch, ...]]


@dataclass(frozen=True)
class Way:
    """The archived WAL that goes on from where a standby stands.

    Attributes:
        chain: the segments without a gap, in order.
        timelines: those that it passes on the way: PostgreSQL looks for the history of each.
        gap: the first segment that no archive has although one has a later one.
        beyond: how many segments are beyond the gap.
        apart: timelines with archived WAL that do not go on from where it stands.
    """

    chain: tuple[Segment, ...] = ()
    timelines: tuple[int, ...] = ()
    gap: Segment | None = None
    beyond: int = 0
    apart: tuple[int, ...] = ()


def later_timelines(standby: Standby, archives: Mapping[str, Ahead]) -> list[int]:
    """Timelines with archived WAL that are newer than the standby's: their histories must be read."""
    found = {int(name[:8], 16) for each in archives.values() for name in each.segments}
    return sorted(timeline for timeline in found if timeline > standby.timeline)


def way_ahead(standby: Standby, archives: Mapping[str, Ahead], histories: Histories) -> Way:
    """What all archives together have beyond a standby.

    Args:
        standby: where it stands.
        archives: each site's that answered.
        histories: of the timelines that are newer than the standby's.
    """
    size, lsn = standby.segment_bytes, parse_lsn(standby.position.lsn)
    start = Segment.holding(standby.timeline, lsn, size)
    segments = {Segment.parse(name, size) for each in archives.values() for name in each.segments}
    ahead = {segment for segment in segments if segment.number >= start.number}
    target = _target(standby, lsn, histories)
    held = {segment for segment in ahead if on_line(target, segment)}
    wanted = list(_road(target, start, held))
    chain = tuple(takewhile(held.__contains__, wanted))
    return Way(
        chain=chain,
        timelines=tuple(range(standby.timeline + 1, target.timeline + 1)) if chain else (),
        gap=wanted[len(chain)] if len(chain) < len(wanted) else None,
        beyond=len(held) - len(chain),
        apart=tuple(sorted({each.timeline for each in ahead if each.timeline > target.timeline})),
    )


def _target(standby: Standby, lsn: int, histories: Histories) -> PrimaryFact:
    """The newest timeline that goes on from where a standby stands, as PostgreSQL has it; else its own."""
    for timeline, history in sorted(histories.items(), reverse=True):
        if any(each.parent == standby.timeline and each.lsn >= lsn for each in history):
            return PrimaryFact(timeline, lsn, history, standby.segment_bytes)
    return PrimaryFact(standby.timeline, lsn, (), standby.segment_bytes)


def _road(target: PrimaryFact, start: Segment, held: set[Segment]) -> Iterator[Segment]:
    """Every segment from the standby's to the newest that is held, there or not."""
    if held:
        newest = max(held, key=lambda segment: segment.number)
        for timeline, first, last in line(target, start, newest):
            yield from (Segment(timeline, number) for number in range(first, last + 1))


def waves(way: Way) -> Iterator[Sequence[Segment]]:
    """The chain in parts: each is copied and read before the next, so a deadline leaves little behind."""
    for begin in range(0, len(way.chain), _WAVE):
        yield way.chain[begin : begin + _WAVE]


def reach_words(archive: Ahead, standby: Standby) -> str:
    """How far an archive reaches beyond a standby, in words."""
    size, lsn = standby.segment_bytes, parse_lsn(standby.position.lsn)
    ends = [Segment.parse(name, size).end(size) for name in archive.segments]
    newest = max(ends, default=0)
    return f"has WAL to {format_lsn(newest)}" if newest > lsn else "has no more than the standby"


def outcome(standby: Standby, after: Position, way: Way, ended: str) -> Replay:
    """What was replayed, and what is left.

    Args:
        standby: where it stood before.
        after: where it stands now.
        way: what there was to replay.
        ended: why it ended before the end of that; empty where it did not.
    """
    size, before = standby.segment_bytes, standby.position.lsn
    left = _unread(way, parse_lsn(before), parse_lsn(after.lsn), size) if ended else 0
    read = (each.timeline for each in way.chain if each.number * size < parse_lsn(after.lsn))
    return Replay(
        standby_lsn=after.lsn,
        standby_timeline=max(read, default=standby.timeline),
        standby_next_xid=after.next_xid,
        standby_last_commit=after.last_commit,
        from_lsn=before,
        archived_lsn=format_lsn(way.chain[-1].end(size)) if way.chain else "",
        segment_bytes=size,
        replayed=len(way.chain) - left,
        left=left + way.beyond,
        gap=way.gap.name(size) if way.gap else "",
        beyond=way.beyond,
        why=_why(way, ended, size),
    )


def _unread(way: Way, before: int, after: int, size: int) -> int:
    """How many segments of the chain a standby has not read; of one that it moved into, it has read all."""
    if after <= before or not way.chain:
        return len(way.chain)
    return max(0, way.chain[-1].end(size) // size - -(-after // size))


def _why(way: Way, ended: str, size: int) -> str:
    told = [ended] if ended else []
    if way.gap:
        told.append(f"no archive that answers has {way.gap.name(size)}")
    if way.apart:
        timelines = ", ".join(map(str, way.apart))
        told.append(f"the archived WAL of timeline {timelines} does not go on from where the standby stands")
    return "; ".join(told) or ("" if way.chain else _NOTHING)


def after_promotion(replay: Replay, fork_lsn: str) -> Replay:
    """The same, where PostgreSQL itself read on before it took writes: it reads all that its archive has."""
    known, size, fork = replay.left - replay.beyond, replay.segment_bytes, parse_lsn(fork_lsn)
    if not known or fork <= parse_lsn(replay.standby_lsn):
        return replay
    left = min(known, max(0, parse_lsn(replay.archived_lsn) // size - -(-fork // size)))
    return replay.model_copy(
        update={"left": left + replay.beyond, "replayed": replay.replayed + known - left}
    )
