"""Fold the listings of all sites' archives into facts, a folder at a time, in bounded memory. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from tasks.clients.walnames import SEGMENT_SIZE, ArchivedName, Segment, history_timeline, parse_archived
from tasks.facts.archive import ArchivedFile, Names
from tasks.facts.archiver import PrimaryFact
from tasks.policy.lineage import is_known, on_line

# A segment without a single record still compresses to more than this.
_LEAST_COMPRESSED_BYTES = 128
# What a cipher's salt and padding, or a compressor's framing, may add to a segment.
_MOST_ADDED_BYTES = 64 * 1024
# A ciphered object is a salt and whole blocks.
_CIPHER_BLOCK_BYTES = 16
_SHOWN = 5
# Where a store's ETags are never equal, some are looked at closely.
_MOST_DOUBTFUL = 48

Listing = Sequence[ArchivedFile]
Found = tuple[ArchivedFile, ArchivedName, Segment]


@dataclass(frozen=True)
class Sight:
    """What the listings are held against.

    Attributes:
        reference: the site whose archive the others copy.
        primary: where the primary stood after the listings began; None if not known.
        watched: names to look out for, as PostgreSQL calls the files.
        ciphered: whether the repository is encrypted.
        seen_at: the observer's clock.
        patience: how long a segment may be on its way to another site.
    """

    reference: str
    primary: PrimaryFact | None
    watched: frozenset[str]
    seen_at: datetime
    ciphered: bool = True
    patience: timedelta = timedelta(minutes=2)


@dataclass(frozen=True)
class Doubt:
    """An object whose ETag is not that of the same object elsewhere, though their sizes are equal.

    Attributes:
        site: whose object it is.
        name: its name.
        everywhere: the object at every site that has it.
    """

    site: str
    name: str
    everywhere: Mapping[str, ArchivedFile]


@dataclass
class _Some:
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self.count += 1
            if len(self.shown) < _SHOWN:
                self.shown.append(name)

    def names(self) -> Names:
        return Names(tuple(self.shown), self.count)


@dataclass
class _Site:
    held: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[int, datetime] = field(default_factory=dict)
    truncated: _Some = field(default_factory=_Some)
    duplicated: _Some = field(default_factory=_Some)
    differing: _Some = field(default_factory=_Some)
    strange: dict[int, tuple[datetime, str, int]] = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)
    coming: set[Segment] = field(default_factory=set)
    behind_since: datetime | None = None


class Fold:
    """Gathers the facts of every site; folders come in the order of their names, all sites at once."""

    def __init__(self, sight: Sight, sites: Iterable[str]) -> None:
        self._sight = sight
        self._sites = {site: _Site() for site in sites}
        self._born: datetime | None = None
        self.doubtful: list[Doubt] = []

    def add(self, listings: Mapping[str, Listing]) -> None:
        """Take one folder as every site has it; a site that does not answer is left out."""
        reference = listings.get(self._sight.reference)
        for site, files in listings.items():
            self._add_site(self._sites[site], files)
            if site == self._sight.reference:
                self._note_birth(files)
                self._note_strange(self._sites[site], files)
            elif reference is not None:
                self._compare_lag(self._sites[site], files, reference)
                names = {file.name for file in reference}
                self._note_strange(self._sites[site], [file for file in files if file.name not in names])
        self._compare_contents(listings)

    def facts(self, site: str) -> dict[str, Any]:
        """What the listings gave for one site, as fields of `ArchiveFacts`."""
        found = self._sites[site]
        strange = [each for each in found.strange.values() if self._is_later(each[0])]
        return {
            "held": {timeline: tuple(runs) for timeline, runs in found.held.items()},
            "taken": dict(found.taken),
            "truncated": found.truncated.names(),
            "duplicated": found.duplicated.names(),
            "differing": found.differing.names(),
            "foreign": Names(tuple(name for _, name, _ in strange)[:_SHOWN], sum(n for *_, n in strange)),
            "watched": frozenset(found.watched),
            "coming": frozenset(found.coming),
            "behind_since": found.behind_since,
        }

    def _is_later(self, taken: datetime) -> bool:
        """Whether something was taken since the primary is on its timeline, so not left by another before."""
        if self._sight.primary is not None and self._sight.primary.timeline == 1:
            return True
        return self._born is not None and taken > self._born

    def _add_site(self, site: _Site, files: Listing) -> None:
        found = sorted(self._segments(files), key=lambda each: each[2])
        for file, _, segment in found:
            _extend(site.held[segment.timeline], segment.number)
            site.taken[segment.timeline] = file.modified
        site.truncated.add(f.name for f, name, _ in self._named(files) if not self._plausible(f.size, name))
        contents = Counter(wal for wal, _ in {(name.wal, name.sha1) for _, name, _ in found})
        site.duplicated.add(wal for wal, count in sorted(contents.items()) if count > 1)
        for watched in self._sight.watched - site.watched:
            if any(file.name == watched or file.name.startswith(f"{watched}-") for file in files):
                site.watched.add(watched)

    def _note_birth(self, files: Listing) -> None:
        """When the primary's timeline began, by the reference store's clock; the first has always been."""
        primary = self._sight.primary
        if primary is None or primary.timeline == 1:
            return
        own = [file.modified for file in files if _timeline(file.name) == primary.timeline]
        self._born = min([*own, *([self._born] if self._born else [])], default=None)

    def _note_strange(self, site: _Site, files: Listing) -> None:
        primary = self._sight.primary
        for file in files:
            timeline = _timeline(file.name)
            if primary is None or timeline is None or is_known(primary, timeline):
                continue
            before = site.strange.get(timeline)
            latest = max(file.modified, before[0]) if before else file.modified
            site.strange[timeline] = (
                latest,
                before[1] if before else file.name,
                (before[2] if before else 0) + 1,
            )

    def _compare_lag(self, site: _Site, files: Listing, reference: Listing) -> None:
        """What the reference has and this site has not: on its way, or lost."""
        primary = self._sight.primary
        if primary is None:
            return
        mine: dict[Segment, set[str]] = defaultdict(set)
        for _, name, segment in self._segments(files):
            mine[segment].add(name.sha1)
        theirs = sorted(self._segments(reference), key=lambda each: each[2])
        for file, name, segment in theirs:
            if not on_line(primary, segment):
                continue
            if segment in mine:
                site.behind_since = None
                if name.sha1 not in mine[segment]:
                    site.differing.add([f"{name.wal} has another content than at {self._sight.reference}"])
                continue
            site.behind_since = site.behind_since or file.modified
            if self._sight.seen_at - file.modified < self._sight.patience:
                site.coming.add(segment)

    def _compare_contents(self, listings: Mapping[str, Listing]) -> None:
        """Size and ETag of one name at every site: the odd one is damaged; of two, the smaller."""
        seen: dict[str, dict[str, ArchivedFile]] = defaultdict(dict)
        for site, files in listings.items():
            for file, _, _ in self._named(files):
                seen[file.name][site] = file
        for name, by_site in seen.items():
            sizes = {site: file.size for site, file in by_site.items()}
            for site in _odd(sizes):
                others = max(size for other, size in sizes.items() if other != site)
                self._sites[site].differing.add([f"{name} has {sizes[site]} bytes, elsewhere {others}"])
            if len(set(sizes.values())) == 1 and len({file.etag for file in by_site.values()}) > 1:
                self._doubt(name, by_site)

    def _doubt(self, name: str, by_site: Mapping[str, ArchivedFile]) -> None:
        for site in _odd({site: file.etag for site, file in by_site.items()}):
            if len(self.doubtful) < _MOST_DOUBTFUL:
                self.doubtful.append(Doubt(site, name, by_site))

    def differs(self, doubt: "Doubt") -> None:
        """A doubtful object is no copy of what it should be."""
        self._sites[doubt.site].differing.add([f"{doubt.name} has another ETag"])

    def _segments(self, files: Listing) -> Iterable[Found]:
        return (each for each in self._named(files) if not each[1].partial)

    def _named(self, files: Listing) -> Iterable[Found]:
        primary = self._sight.primary
        size = primary.segment_size if primary else SEGMENT_SIZE
        for file in files:
            named = _parsed(file.name, size)
            if named:
                yield file, *named

    def _plausible(self, size: int, name: ArchivedName) -> bool:
        if self._sight.ciphered and size % _CIPHER_BLOCK_BYTES:
            return False
        whole = self._sight.primary.segment_size if self._sight.primary else None
        if name.compressed:
            return size >= _LEAST_COMPRESSED_BYTES and (whole is None or size <= whole + _MOST_ADDED_BYTES)
        return size > 0 if whole is None else whole <= size <= whole + _MOST_ADDED_BYTES


def _extend(runs: list[tuple[int, int]], number: int) -> None:
    if runs and number <= runs[-1][1]:
        return
    if runs and number == runs[-1][1] + 1:
        runs[-1] = runs[-1][0], number
    else:
        runs.append((number, number))


def _odd(values: Mapping[str, Any]) -> list[str]:
    """The sites whose value is not what most have; where none is had by most, of two sizes the smaller."""
    counts = Counter(values.values())
    if len(counts) < 2:
        return []
    (most, times), (_, second) = counts.most_common(2)
    if times > second:
        return [site for site, value in values.items() if value != most]
    largest = max(values.values())
    smaller = [site for site, value in values.items() if value != largest]
    return smaller if isinstance(largest, int) else list(values)


@lru_cache(maxsize=8192)
def _parsed(name: str, size: int) -> tuple[ArchivedName, Segment] | None:
    """Every site has the same names in a folder, and each is looked at several times."""
    archived = parse_archived(name)
    if archived is None:
        return None
    try:
        return archived, Segment.parse(archived.wal, size)
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def _timeline(name: str) -> int | None:
    archived = parse_archived(name)
    return int(archived.wal[:8], 16) if archived else history_timeline(name)
