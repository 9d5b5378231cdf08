"""Which site's object is wrong where the sites differ, and which is missing where it should be. Pure.

No single site is believed: two that agree outvote the third; else a name that is the content's digest, a
point's manifest, or what the copy recorded about its source decides; else every site is named.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tasks.clients.objects import Entry
from tasks.policy.replication import kind_of, label_of, taken_at
from tasks.policy.sieve import is_same

_STAMP = re.compile(r"/(\d{8}T\d{6}Z)/")
# Labels carry the local time of the host that took the backup.
_ZONE = timedelta(hours=14)


@dataclass(frozen=True)
class Frame:
    """What a comparison knows beside the listings.

    Attributes:
        sites: all of them, the active one first.
        upstream: of each site that pulls, the one that it pulls from.
        grace: what is younger may still be on its way.
        keep: retention by asset; "full", "incr" and "wal" of the database, "restic" of the files.
        now: the moment of the comparison.
    """

    sites: tuple[str, ...]
    upstream: Mapping[str, str]
    grace: timedelta
    keep: Mapping[str, timedelta]
    now: datetime


@dataclass(frozen=True)
class Seen:
    """One object as all sites hold it.

    Attributes:
        key: its key.
        entries: by site; a site without it is left out.
        records: by site, the ETag of the object that it was copied from; None for what was written there.
        proofs: by site, whether the content is what its name or manifest promises, where that was looked at.
        mutable: whether it may change without being another.
    """

    key: str
    entries: Mapping[str, Entry]
    records: Mapping[str, str | None] = field(default_factory=dict)
    proofs: Mapping[str, bool] = field(default_factory=dict)
    mutable: bool = False

    @property
    def since(self) -> datetime:
        """When it was first seen anywhere."""
        return min(entry.modified for entry in self.entries.values())


def differs(entries: Iterable[Entry | None]) -> bool:
    """Whether a row of a listing needs a closer look."""
    facts = {(entry.size, entry.etag) if entry else None for entry in entries}
    return len(facts) > 1


def groups(seen: Seen, frame: Frame) -> list[frozenset[str]]:
    """The sites that hold the same content, as far as ETags and the copies' records tell; largest first."""
    found: list[set[str]] = []
    for site in seen.entries:
        mine = next((group for group in found if any(_agree(seen, frame, site, one) for one in group)), None)
        if mine is None:
            found.append({site})
        else:
            mine.add(site)
    return sorted(map(frozenset, found), key=lambda group: (-len(group), sorted(group)))


def wrong_sites(seen: Seen, frame: Frame) -> dict[str, str]:
    """The sites whose object is wrong, and how; none where all agree or a change is on its way."""
    disproven = [site for site, good in seen.proofs.items() if not good]
    if disproven:
        return dict.fromkeys(disproven, "its content is not what it must be")
    alike = groups(seen, frame)
    if len(alike) < 2:
        return {}
    if seen.mutable:
        return _late(seen, frame)
    if len(alike[0]) > len(alike[1]):
        told = f"differs from {' and '.join(sorted(alike[0]))}"
        return {site: told for group in alike[1:] for site in sorted(group)}
    blamed = _by_record(seen, frame)
    return blamed or dict.fromkeys(
        seen.entries, "differs between the sites, and nothing tells which is right"
    )


def missing_sites(seen: Seen, frame: Frame) -> dict[str, str]:
    """The sites that lack an object which they must have had; none where it is young or expired."""
    if frame.now - seen.since < frame.grace or expired(seen, frame):
        return {}
    lacking = [site for site in frame.sites if site not in seen.entries]
    return {site: "missing" for site in lacking if _had(seen, frame, site)}


def expired(seen: Seen, frame: Frame) -> bool:
    """Whether an object is past its retention, so that some sites may have removed it before others."""
    keep = frame.keep.get(retention_class(seen.key))
    return keep is not None and frame.now - written_at(seen) >= keep - _ZONE


def written_at(seen: Seen) -> datetime:
    """When it was written, by its label or stamp; else since when a site has it."""
    label, stamp = label_of(seen.key), _STAMP.search(seen.key)
    if label:
        return taken_at(label)
    if stamp:
        return datetime.strptime(stamp[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return seen.since


def asset_of(key: str) -> str:
    """The asset, or the repository of several, that an object belongs to."""
    root, _, rest = key.partition("/")
    if root == "points":
        return rest.rsplit("/", 2)[0]
    return "database" if root == "pgbackrest" else root


def retention_class(key: str) -> str:
    """The name of an object's retention in a frame's `keep`."""
    label = label_of(key)
    if label:
        return kind_of(label)
    if key.startswith("restic/"):
        return "restic" if key.startswith("restic/snapshots/") else "none"
    asset = asset_of(key)
    return "wal" if asset == "database" else asset


def good_site(seen: Seen, frame: Frame, damaged: str) -> str | None:
    """A site that surely has an object good, to heal a damaged site from; None where nothing proves it."""
    if seen.mutable:
        return _good_mutable(seen, frame, damaged)
    proven = [site for site, good in seen.proofs.items() if good and site != damaged]
    if proven:
        return proven[0]
    alike = [group - {damaged} for group in groups(seen, frame)]
    others = [group for group in alike if group]
    if len(others) == 1 and (damaged not in seen.entries or len(others[0]) > 1):
        return min(others[0])
    blamed = _by_record(seen, frame)
    return next((site for site in seen.entries if site not in blamed), None) if damaged in blamed else None


def _good_mutable(seen: Seen, frame: Frame, damaged: str) -> str | None:
    """The site nearest to the source whose object can be read; for the source, one of two that agree."""
    sound = [site for site in frame.sites if site in seen.entries and seen.proofs.get(site, True)]
    others = [site for site in sound if site != damaged]
    if damaged != frame.sites[0]:
        return others[0] if others else None
    agreed = [group for group in groups(seen, frame) if len(group & set(others)) > 1]
    return min(agreed[0]) if agreed else None


def _agree(seen: Seen, frame: Frame, one: str, other: str) -> bool:
    a, b = seen.entries[one], seen.entries[other]
    same = is_same(a, b)
    if same is not None:
        return same
    pairs = ((one, b), (other, a))
    linked = frame.upstream.get(one) == other or frame.upstream.get(other) == one
    return linked and any(seen.records.get(site) == theirs.etag for site, theirs in pairs)


def _late(seen: Seen, frame: Frame) -> dict[str, str]:
    """Copies of a changing object that should have been brought up to date by now."""
    newest = max(entry.modified for entry in seen.entries.values())
    if frame.now - newest < frame.grace:
        return {}
    source = next(site for site in frame.sites if site in seen.entries)
    good = next(group for group in groups(seen, frame) if source in group)
    return {site: f"is not what {source} has" for site in seen.entries if site not in good}


def _by_record(seen: Seen, frame: Frame) -> dict[str, str]:
    """Who is wrong of two, by what the copy recorded when it was made."""
    for site, source in frame.upstream.items():
        mine, theirs = seen.entries.get(site), seen.entries.get(source)
        if mine is None or theirs is None or is_same(mine, theirs):
            continue
        record = seen.records.get(site)
        if record is None:
            return {site: f"was not copied from {source}, and differs from it"}
        if record == mine.etag:
            return {source: f"has changed since {site} copied it"}
    return {}


def _had(seen: Seen, frame: Frame, site: str) -> bool:
    """Whether a site must have had an object: its source has it, or another copied it from there."""
    if frame.upstream.get(site) in seen.entries:
        return True
    pulled = [copy for copy, source in frame.upstream.items() if source == site]
    return any(seen.records.get(copy) is not None for copy in pulled)
