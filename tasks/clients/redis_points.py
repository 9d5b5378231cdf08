"""Redis as sealed points: what is proven of a snapshot, and how a point is opened again.

What is provable of a snapshot of a server that is being written to. The server forks at exactly the
replication offset that it names, and its CRC-64 over all it sends is checked by a Redis that loads it while
it is stored; the number of keys and an order-independent digest of that load go into the point, sealed.
Whoever opens the point loads it again: the same number and digest mean the same data. Besides, the number
of keys is compared with the server's own, before and after: exactly where no write came between, else
within what so many bytes of writes can change. A digest of the server itself at that offset would need its
writes stopped.

A point of a cluster is a snapshot of each shard: all of them, or there is no point. Each shard is whole at a
moment of its own, which its offset names; there is no one moment over all of them. What was written to two
shards while the point was taken may be in it by halves: a later write to one, and not an earlier one to
another. That no slot moved meanwhile is checked, and that every key lies in its shard's slots.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.clients import hash_slots, point_contents, points
from tasks.clients.hash_slots import Slots
from tasks.clients.manifest import StoredPoint
from tasks.clients.rdb import Snapshot, snapshot
from tasks.clients.redis_source import Piece, look, pieces_of, plausible, require_same
from tasks.clients.scratch import Dataset, Scratch, scratch
from tasks.clients.sealed_objects import Both
from tasks.clients.sealing import Writer
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

Told = Callable[[float, float], None]
ASSET = "redis"
PROOF = "proof.json"
_BATCH = 1000


@dataclass(frozen=True)
class Part:
    """One snapshot of a point, as it was stored.

    Attributes:
        name: its content.
        slots: of a cluster's shard; none otherwise.
        data: what it holds.
    """

    name: str
    slots: Slots
    data: Dataset


def take(plan: Plan, site: str, told: Told) -> StoredPoint:
    """Take every snapshot of a point, load it and store it in a site's bucket, each in one pass.

    Args:
        plan: the plan.
        site: whose Redis, and whose bucket.
        told: called with the bytes so far, and as many as the last point had.

    Raises:
        Transient: a server or the store does not answer, the cluster is not whole, its slots moved, or writes
            outran the count of keys.
        Permanent: a snapshot cannot be loaded, holds keys of other slots, or the store refuses.
    """
    pieces, last = pieces_of(plan, site), _last_size(plan, site)
    facts: dict[str, str] = {}
    taken: dict[Part, dict[str, str]] = {}
    done = _Counted(lambda so_far: told(so_far, max(so_far, last)))
    with ExitStack() as stack:
        contents = {
            piece.name: stack.enter_context(closing(_passed(plan, piece, done, taken))) for piece in pieces
        }
        proof = _proof(plan, site, pieces, taken, facts)
        return points.store(plan, site, ASSET, datetime.now(UTC), {**contents, PROOF: proof}, facts)


def parts(plan: Plan, site: str, point: StoredPoint) -> tuple[Part, ...]:
    """The snapshots that a point is made of, as its sealed proof tells.

    Raises:
        Permanent: it does not open, or the shards of a cluster are not all there, each once.
        Transient: the store does not answer.
    """
    told = json.loads(point_contents.open_point(plan, site, point, PROOF))
    found = tuple(
        Part(each["name"], hash_slots.parsed(each["slots"]), Dataset(each["keys"], each["digest"]))
        for each in told
    )
    if absent := {part.name for part in found} - point.objects.keys():
        raise Permanent(f"{point.folder} at {site} lacks a snapshot", ", ".join(sorted(absent)))
    if any(part.slots for part in found):
        _require_all_slots(point, [part.slots for part in found])
    return found


@contextmanager
def opened(
    plan: Plan, site: str, point: StoredPoint, part: Part, also: Writer | None = None
) -> Iterator[tuple[Scratch, Dataset]]:
    """A scratch server with a part of a point, proven: opened with the recovery key, loaded, and compared.

    Args:
        plan: the plan.
        site: whose bucket.
        point: one of Redis.
        part: one of its `parts`.
        also: takes the snapshot as well, to be dropped when this raises.

    Raises:
        Permanent: it does not open, does not load, holds other data than was stored, or keys of other slots.
        Transient: the store does not answer, or the time is over.
    """
    with scratch(_timeout(plan)) as server:
        point_contents.open_into(plan, site, point, part.name, Both(server, also) if also else server)
        found = server.loaded()
        if found != part.data:
            raise Permanent(
                f"{point.key(part.name)} at {site} holds other data than was stored",
                f"{found.keys} keys, digest {found.digest}; stored {part.data.keys}, {part.data.digest}",
            )
        require_at_home(server, part.name, part.slots)
        yield server, found


def require_at_home(server: Scratch, name: str, slots: Slots) -> None:
    """Make sure that every key of a shard belongs to its slots; without slots there is nothing to ask.

    Raises:
        Permanent: one does not.
    """
    with server.client() as client:
        strays = (
            key
            for key in (client.scan_iter(count=_BATCH) if slots else ())
            if not hash_slots.is_at_home(key, slots)
        )
        if (stray := next(strays, None)) is not None:
            wrong = f"{stray!r:.60} does not belong to the slots {hash_slots.written(slots)}"
            raise Permanent(f"{name} holds a key of another shard", wrong)


class _Counted:
    """Counts what passes, and tells of it."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell, self._done = tell, 0

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        self._tell(self._done)


def _passed(
    plan: Plan, piece: Piece, done: _Counted, taken: dict[Part, dict[str, str]]
) -> Generator[bytes, None, None]:
    """One snapshot as it passes from its server; once it is over, what it was found to hold is in `taken`."""
    at = datetime.now(UTC)
    with snapshot(plan, piece.source.address) as arriving, scratch(_timeout(plan)) as server:
        for chunk in arriving.pieces:
            server.write(chunk)
            done.add(len(chunk))
            yield chunk
        found, after = server.loaded(), look(plan, piece.source.address)
        if not plausible(piece.source, after, found.keys):
            counts = f"{piece.source.keys} keys before, {found.keys} in the snapshot, {after.keys} after"
            raise Transient("the snapshot has not as many keys as its source", counts)
        require_at_home(server, piece.name, piece.slots)
        taken[Part(piece.name, piece.slots, found)] = _facts(piece, arriving, at, found)


def _facts(piece: Piece, arriving: Snapshot, at: datetime, found: Dataset) -> dict[str, str]:
    return {
        "source": piece.source.address,
        "role": piece.source.role,
        "replid": arriving.replid,
        "offset": str(arriving.offset),
        "lag_bytes": str(piece.source.lag),
        "asked_at": at.isoformat(),
        "keys": str(found.keys),
        **piece.source.aof,
    }


def _proof(
    plan: Plan,
    site: str,
    pieces: tuple[Piece, ...],
    taken: Mapping[Part, Mapping[str, str]],
    facts: dict[str, str],
) -> Iterator[bytes]:
    """What was loaded, sealed as a content of the point; asked for when every snapshot has passed."""
    require_same(plan, site, pieces)
    if plan.redis_ha.mode == "sentinel":
        [only] = taken.values()
        facts |= only
    else:
        facts |= {"shards": str(len(taken)), "keys": str(sum(part.data.keys for part in taken))}
        for part, told in taken.items():
            facts[part.name] = json.dumps({"slots": hash_slots.written(part.slots), **told})
    yield json.dumps([_written(part) for part in taken]).encode()


def _written(part: Part) -> dict[str, str | int]:
    slots = hash_slots.written(part.slots)
    return {"name": part.name, "slots": slots, "keys": part.data.keys, "digest": part.data.digest}


def _require_all_slots(point: StoredPoint, held: list[Slots]) -> None:
    if absent := hash_slots.missing(held):
        raise Permanent(f"{point.folder} lacks a shard", f"nothing of the slots {hash_slots.written(absent)}")
    if twice := hash_slots.repeated(held):
        raise Permanent(f"{point.folder} has slots in two shards", hash_slots.written(twice))


def _last_size(plan: Plan, site: str) -> int:
    stored = points.stored(plan, site, ASSET)
    return stored[-1].size if stored else 0


def _timeout(plan: Plan) -> float:
    """Seconds to load one: the longest that a recovery may take at all."""
    return plan.tier.rto.total_seconds()
