"""A closer look at the objects in which the sites differ: what they record, and what proves them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.clients.copies import Corrupt, source_of
from tasks.clients.infofile import read_info
from tasks.clients.merging import side_by_side
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.clients.promises import read_promises
from tasks.clients.truth import active_site
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.policy.comparison import Frame, Seen, differs
from tasks.policy.replication import Repository, replication_pairs

Row = tuple[Entry | None, ...]
_REQUEST_S = 120.0
_SLACK = timedelta(minutes=10)


def buckets_of(plan: Plan) -> dict[str, Bucket]:
    """Every site's bucket as its reader, the active site's first."""
    active = active_site(plan)
    order = sorted(plan.sites, key=lambda site: site != active)
    return {site: Bucket.readable(plan, site, _REQUEST_S) for site in order}


def frame_of(plan: Plan, now: datetime | None = None) -> Frame:
    """What a comparison must know of the plan, now."""
    active = active_site(plan)
    roles = {name: site.role for name, site in plan.sites.items()}
    strategy, protected = plan.backup_strategy, plan.protection
    keep = {
        "full": strategy.database.full_backup.retention,
        "incr": strategy.database.incremental_backup.retention,
        "wal": strategy.database.wal_archiving.retention,
        "restic": strategy.filesystem.retention,
        "redis": protected.redis.retention,
    }
    for asset in protected.assets():
        if asset.startswith("configuration/"):
            keep[asset] = strategy.configuration.retention
        elif asset.startswith("secrets/"):
            keep[asset] = protected.secrets.retention
    return Frame(
        sites=tuple(sorted(plan.sites, key=lambda site: site != active)),
        upstream={pull.target: pull.source for pull in replication_pairs(roles, active)},
        grace=2 * (plan.recovery.replication.interval or timedelta(hours=1)) + _SLACK,
        keep=keep,
        now=now or datetime.now(UTC),
    )


class Look:
    """One look at a repository in every bucket."""

    def __init__(self, buckets: Mapping[str, Bucket], of: Repository, frame: Frame, cipher: str = "") -> None:
        """Nothing is listed yet."""
        self.buckets, self.of, self.frame, self.cipher = buckets, of, frame, cipher

    def suspicious(self) -> Iterator[Seen]:
        """The objects that are not the same everywhere, without those of units that no site has whole."""
        # The objects directly below the root, such as restic's `config`, are no folder to list.
        tops = [{entry.key: entry for entry in b.children(self.of.root)[1]} for b in self.buckets.values()]
        for key in sorted(set().union(*tops)):
            yield from self._seen(key, tuple(top.get(key) for top in tops))
        folders = [folder for folder in self.of.identity if not any(folder in top for top in tops)]
        for prefix in (*folders, *self.of.named_last, *self.of.data):
            yield from self._below(prefix)

    def closer(self, seen: Seen) -> Seen | None:
        """An object with what its copies recorded, and with proofs where its content can be proven.

        None where it is gone again: it expired while it was looked at.
        """
        try:
            records = {site: source_of(self.buckets[site], seen.key) for site in seen.entries}
            proofs = {}
            if differs(seen.entries.values()):
                proofs = self._proofs(seen)
        except Missing:
            return None
        return replace(seen, records=records, proofs=proofs)

    def at(self, key: str) -> Seen | None:
        """One object as all sites hold it now, with records and proofs; None where it differs nowhere."""
        entries = {}
        for site, bucket in self.buckets.items():
            try:
                entries[site] = bucket.head(key)
            except Missing:
                continue
        found = self._seen(key, tuple(entries.get(site) for site in self.buckets))
        return self.closer(found[0]) if found else None

    def promise(self, seen: Seen) -> str | None:
        """The SHA-256 that an object's content must have, where its name or its manifest tells."""
        return self.of.digest(seen.key) or self._promised(seen)

    def _below(self, prefix: str) -> Iterator[Seen]:
        unit: str | None = None
        whole, waiting = False, list[Seen]()
        for row in side_by_side(list(self.buckets.values()), prefix):
            key = next(entry.key for entry in row if entry)
            name = self.of.unit(key)
            if name != unit:
                yield from waiting if whole else ()
                unit, whole, waiting = name, False, []
            whole = whole or name is None or self.of.closes(key)
            if self.of.closes_first and not whole:
                continue
            waiting += self._seen(key, row)
            if whole:
                yield from waiting
                waiting = []
        yield from waiting if whole else ()

    def _seen(self, key: str, row: Row) -> list[Seen]:
        info = key in self.of.infos
        if not differs(row) or (self.of.ignored(key) and not info):
            return []
        entries = {site: entry for site, entry in zip(self.buckets, row, strict=True) if entry}
        return [Seen(key, entries, mutable=info)]

    def _proofs(self, seen: Seen) -> dict[str, bool]:
        if seen.key in self.of.infos:
            return self._disproven(seen, lambda bucket: read_info(bucket.get(seen.key), self.cipher))
        if self.of.root == "points" and self.of.closes(seen.key):
            folder = seen.key.rpartition("/")[0]
            return self._disproven(seen, lambda bucket: read_promises(bucket, folder))
        promised = self.promise(seen)
        if promised is None:
            return {}
        return {site: _digest(self.buckets[site], seen.key) == promised for site in seen.entries}

    def _disproven(self, seen: Seen, read: Callable[[Bucket], object]) -> dict[str, bool]:
        """Only what cannot be read is proven wrong: what can may be older or newer than its source."""
        proofs = {}
        for site in seen.entries:
            try:
                read(self.buckets[site])
            except Missing:
                raise
            except Permanent:
                proofs[site] = False
        return proofs

    def _promised(self, seen: Seen) -> str | None:
        """What the manifests that can be read agree on."""
        folder, _, name = seen.key.rpartition("/")
        if self.of.root != "points":
            return None
        told = set()
        for site in seen.entries:
            try:
                told |= {read_promises(self.buckets[site], folder).get(name)} - {None}
            except Corrupt:
                continue
        return told.pop() if len(told) == 1 else None


def _digest(bucket: Bucket, key: str) -> str:
    digest = hashlib.sha256()
    for chunk in bucket.stream(key):
        digest.update(chunk)
    return digest.hexdigest()
