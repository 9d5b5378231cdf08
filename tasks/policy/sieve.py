"""What of a repository is copied now, what later, and what not, while both sides are listed. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tasks.clients.courier import Item
from tasks.clients.merging import Pair
from tasks.clients.objects import Entry
from tasks.policy.replication import Repository


def is_same(entry: Entry, held: Entry | None) -> bool | None:
    """Whether the copy is the source's object; None where only the copy's own record can tell."""
    if held is None or held.size != entry.size:
        return False
    return True if held.etag == entry.etag else None


@dataclass
class _Unit:
    """The unit whose objects are being listed."""

    name: str | None = None
    whole: bool = True
    closed: bool = False
    held: bool = False
    waiting: list[Pair] = field(default_factory=list)


class Sieve:
    """Sorts the pairs of one repository, as they are listed, into what is copied now, later, or not.

    Attributes:
        late: what closes the units: copied when everything that `sift` gave has arrived.
        same: how many objects need nothing.
        postponed: how many belong to units that are still being written.
        kept: the complete units that the copy has and the source has not.
    """

    def __init__(self, repository: Repository) -> None:
        """Nothing is listed yet."""
        self._of = repository
        self._unit = _Unit()
        self.late: list[Item] = []
        self.same = 0
        self.postponed = 0
        self.kept: list[str] = []

    def sift(self, pairs: Iterable[Pair]) -> Iterator[Item]:
        """What is copied now, while the listing goes on; pairs come in the order of their keys."""
        for pair in pairs:
            key = _key(pair)
            if self._of.ignored(key):
                continue
            name = self._of.unit(key)
            if name != self._unit.name:
                yield from self._end()
                self._unit = _Unit(name)
            yield from self._one(key, pair)
        yield from self._end()
        self._unit = _Unit()

    def _one(self, key: str, pair: Pair) -> Iterator[Item]:
        unit = self._unit
        if unit.name is None:
            yield from self._ready(pair, final=True)
            return
        if self._of.closes(key):
            unit.closed, unit.held = pair[0] is not None, pair[1] is not None
        if self._of.closes_first:
            # A unit whose closing object is not there when the rest is listed is not complete.
            yield from self._of_unit(pair)
        else:
            unit.waiting.append(pair)

    def _end(self) -> Iterator[Item]:
        unit = self._unit
        for pair in unit.waiting:
            yield from self._of_unit(pair)
        if unit.name is not None and unit.held and not unit.closed:
            self.kept.append(unit.name)

    def _of_unit(self, pair: Pair) -> Iterator[Item]:
        unit = self._unit
        if not unit.closed:
            self.postponed += pair[0] is not None and not unit.held
            return
        for item in self._ready(pair, final=unit.held):
            if self._of.last(item.entry.key):
                self.late.append(item)
            else:
                yield item

    def _ready(self, pair: Pair, *, final: bool) -> Iterator[Item]:
        entry, held = pair
        if entry is None:
            return
        if is_same(entry, held):
            self.same += 1
            return
        yield Item(entry, held, final=final and held is not None)


def _key(pair: Pair) -> str:
    entry = pair[0] or pair[1]
    return entry.key if entry else ""
