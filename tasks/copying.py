"""Bringing a copy of a repository up to its source, so that it can be restored from at any instant.

What names other objects is read before they are listed and written after they have arrived. Nothing is
deleted from a copy because its source lost it, and nothing that is final is overwritten.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from tasks.clients import repository
from tasks.clients.copies import is_copy, put_copy, source_of
from tasks.clients.courier import Courier, Item, Progress, Promise
from tasks.clients.infofile import identity, read_info
from tasks.clients.merging import Pair, pairs_of, side_by_side
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.clients.promises import ManifestPromises
from tasks.errors import Permanent
from tasks.facts.copies import CopyReport
from tasks.policy.replication import Repository, lost_backups, recent_directories, repositories
from tasks.policy.sieve import Sieve, is_same

Content = tuple[Entry, bytes]


@dataclass(frozen=True)
class Rules:
    """What a pull must know of the plan.

    Attributes:
        cipher: the passphrase of the pgBackRest repositories; it reads their info files.
        keep: the retention of "full" and "incr" database backups.
        now: the moment of the pull.
    """

    cipher: str = field(default="", repr=False)
    keep: Mapping[str, timedelta] = field(
        default_factory=lambda: {"full": timedelta(30), "incr": timedelta(7)}
    )
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


class _Pass:
    """One pull of one repository."""

    def __init__(self, source: Bucket, target: Bucket, of: Repository, rules: Rules) -> None:
        self.source, self.target, self.of, self.rules = source, target, of, rules
        self.sieve = Sieve(of)
        self.began = time.monotonic()
        self.conflicts: list[str] = []

    def promised(self) -> Promise:
        if self.of.root == "points":
            return ManifestPromises(self.source)
        return lambda entry: self.of.digest(entry.key)

    def report(self, courier: Courier | None = None, written: Sequence[Entry] = ()) -> CopyReport:
        carried = courier.carried if courier else None
        return CopyReport(
            repository=self.of.root,
            objects=(carried.objects if carried else 0) + len(written),
            bytes=(carried.bytes if carried else 0) + sum(entry.size for entry in written),
            skipped=self.sieve.same + (carried.same if carried else 0),
            postponed=self.sieve.postponed,
            conflicts=tuple(sorted([*self.conflicts, *(carried.conflicts if carried else ())])),
            seconds=time.monotonic() - self.began,
            refused=tuple(sorted(carried.refused)) if carried else (),
            kept=tuple(self.sieve.kept),
        )


def pull_repository(
    source: Bucket, target: Bucket, of: Repository, rules: Rules, progress: Progress | None = None
) -> CopyReport:
    """Copy what is new or changed; a pass that changes nothing lists each side once.

    Raises:
        Transient: a store does not answer, or the source changed meanwhile.
        Permanent: a store refuses, or the source has no such stanza.
    """
    run = _Pass(source, target, of, rules)
    infos = [source.read(key) for key in of.infos]
    held = _held_infos(target, of.infos)
    tops = list(_identity(run))
    run.conflicts += _foreign_infos(infos, held, rules.cipher) or _foreign_objects(run, tops)
    if run.conflicts:
        return run.report()
    # Listed before the data, so that they name only what is listed after them.
    named = [list(_pairs(run, folder)) for folder in of.named_last]
    with Courier(source, target, run.promised(), progress) as courier:
        _carry(courier, _items(tops))
        for prefix in of.data:
            courier.send(run.sieve.sift(_pairs(run, prefix)))
        courier.arrive()
        _close(run, courier, named)
    return run.report(courier, _write_infos(run, courier, infos, held))


def pull_newest_wal(source: Bucket, target: Bucket, stanza: str, rules: Rules) -> CopyReport:
    """Copy what the newest WAL directories gained; some ten requests where nothing is new.

    Raises:
        Transient, Permanent: see `pull_repository`.
    """
    return _pull_wal(_of_database(source, target, stanza, rules), partial(_newest, source, target, stanza))


def pull_wal_files(
    source: Bucket, target: Bucket, stanza: str, rules: Rules, wanted: Sequence[Entry]
) -> CopyReport:
    """Copy some files of the WAL archive that the copy lacks.

    Raises:
        Transient, Permanent: see `pull_repository`.
    """
    return _pull_wal(_of_database(source, target, stanza, rules), partial(_beside, target, wanted))


def _of_database(source: Bucket, target: Bucket, stanza: str, rules: Rules) -> _Pass:
    return _Pass(source, target, repositories(stanza)[repository.ROOT], rules)


def _pull_wal(run: _Pass, pairs: Callable[[], Iterable[Pair]]) -> CopyReport:
    """Copy WAL between two copies of one archive."""
    infos = [run.source.read(key) for key in run.of.infos[:2]]
    held = _held_infos(run.target, run.of.infos[:2])
    run.conflicts += _foreign_infos(infos, held, run.rules.cipher)
    if run.conflicts:
        return run.report()
    listed = pairs()
    with Courier(run.source, run.target, run.promised()) as courier:
        _carry(courier, run.sieve.sift(listed))
    return run.report(courier, _write_infos(run, courier, infos, held))


def _newest(source: Bucket, target: Bucket, stanza: str) -> Iterable[Pair]:
    database = repository.newest_database(source, stanza)
    folders, listed = source.children(database) if database else ((), ())
    held_folders, have = target.children(database) if database else ((), ())
    recent = recent_directories(folders, held_folders)
    listed = [*listed, *(entry for folder in recent for entry in source.list(folder))]
    have = [*have, *(entry for folder in recent for entry in target.list(folder))]
    return pairs_of(listed, {entry.key: entry for entry in have})


def _beside(target: Bucket, wanted: Sequence[Entry]) -> Iterable[Pair]:
    folders = {entry.key.rpartition("/")[0] for entry in wanted}
    have = (entry for folder in folders for entry in target.children(folder)[1])
    return pairs_of(wanted, {entry.key: entry for entry in have})


def _pairs(run: _Pass, prefix: str) -> Iterable[Pair]:
    return ((row[0], row[1]) for row in side_by_side([run.source, run.target], prefix))


def _carry(courier: Courier, items: Iterable[Item]) -> None:
    courier.send(items)
    courier.arrive()


def _close(run: _Pass, courier: Courier, named: Sequence[Sequence[Pair]]) -> None:
    """Copy what completes and names the data, unless some of that was refused."""
    spoiled = {run.of.unit(key) for key in courier.carried.refused}
    _carry(courier, (item for item in run.sieve.late if run.of.unit(item.entry.key) not in spoiled))
    for pairs in named:
        if not courier.carried.refused:
            _carry(courier, run.sieve.sift(pairs))


def _identity(run: _Pass) -> Iterable[Pair]:
    if not run.of.identity:
        return
    ours, theirs = ({e.key: e for e in side.children(run.of.root)[1]} for side in (run.source, run.target))
    for key in run.of.identity:
        if key in ours or key in theirs:
            yield ours.get(key), theirs.get(key)
        else:
            yield from _pairs(run, key)


def _items(pairs: Iterable[Pair]) -> Iterable[Item]:
    return (Item(entry, None, final=False) for entry, held in pairs if entry is not None and held is None)


def _foreign_objects(run: _Pass, tops: Sequence[Pair]) -> list[str]:
    """The objects that show that the source is not the repository that the copy is of."""
    foreign = []
    for entry, held in tops:
        if held is None:
            continue
        if entry is None:
            # A key that was removed at the source stays; a repository that was removed is none to copy.
            foreign += [held.key] if held.key in run.of.identity else []
        elif not is_same(entry, held) and not is_copy(run.target, entry):
            foreign.append(held.key)
    return foreign


def _held_infos(target: Bucket, keys: Iterable[str]) -> dict[str, Content]:
    held = {}
    for key in keys:
        try:
            held[key] = target.read(key)
        except Missing:
            continue
    return held


def _foreign_infos(infos: Sequence[Content], held: Mapping[str, Content], cipher: str) -> list[str]:
    """The info files that show another database, or another repository, at the source.

    Raises:
        Permanent: one of the source's cannot be read.
    """
    theirs = {entry.key: identity(read_info(data, cipher)) for entry, data in infos}
    return [key for key, known in _known(held, cipher).items() if not known <= theirs[key]]


def _known(held: Mapping[str, Content], cipher: str) -> dict[str, frozenset[str]]:
    """What the copy is of; a damaged info file says nothing where its twin can be read."""
    known = {}
    for key, (_, data) in held.items():
        try:
            known[key] = identity(read_info(data, cipher))
        except Permanent:
            continue
    if held and not known:
        raise Permanent("no info file of the copy can be read", ", ".join(held), "compare the sites first")
    return known


def _write_infos(
    run: _Pass, courier: Courier, infos: Sequence[Content], held: Mapping[str, Content]
) -> list[Entry]:
    """Write the info files that changed, unless that would drop backups that the plan still keeps."""
    run.conflicts += _lost(run)
    manifests = any(run.of.last(key) for key in courier.carried.conflicts)
    if run.conflicts or manifests:
        return []
    changed = [each for each in infos if not _same_info(run.target, each[0], held)]
    for entry, data in changed:
        put_copy(run.target, entry, data)
    return [entry for entry, _ in changed]


def _same_info(target: Bucket, entry: Entry, held: Mapping[str, Content]) -> bool:
    same = is_same(entry, held[entry.key][0] if entry.key in held else None)
    return is_copy(target, entry) if same is None else same


def _lost(run: _Pass) -> list[str]:
    """Backups that the source had when they were copied from it, and should still have."""
    if not run.of.infos:
        return []
    folder = run.of.data[-1]
    lost = lost_backups(run.sieve.kept, run.rules.keep, run.rules.now)
    keys = [f"{folder}/{label}/backup.manifest" for label in lost]
    # One that this site took itself, while it was active, was never the source's.
    return [key for key in keys if source_of(run.target, key) is not None]
