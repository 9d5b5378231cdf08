"""The WAL archives of several sites, listed side by side and a few folders at a time.

A folder is what pgBackRest makes of 4 GiB of WAL, so memory stays flat however long an archive is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tasks.clients import repository
from tasks.clients.objects import Bucket, Entry
from tasks.errors import DrError, Transient

T = TypeVar("T")
_THREADS = 12
_FOLDERS_AT_ONCE = 8


@dataclass(frozen=True)
class Tree:
    """The upper levels of one site's archive: its stanzas, WAL folders by name, and loose files."""

    stanzas: tuple[str, ...]
    folders: Mapping[str, str]
    loose: Sequence[Entry]


def tree(bucket: Bucket, stanza: str, database: str | None = None) -> Tree:
    """Look at one site's archive; at its newest database where none is named.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    stanzas, _ = bucket.children(f"{repository.ROOT}/archive")
    newest = repository.newest_database(bucket, stanza)
    root = f"{repository.archive_of(stanza)}/{database}" if database else newest
    folders, loose = bucket.children(root) if root else ((), ())
    return Tree(
        tuple(name.rpartition("/")[2] for name in stanzas),
        {name.rpartition("/")[2]: name for name in folders},
        loose,
    )


def side_by_side(
    buckets: Mapping[str, Bucket], trees: Mapping[str, Tree], failed: dict[str, DrError]
) -> Iterator[Mapping[str, Sequence[Entry]]]:
    """Every folder in the order of the names, as all sites have it; first the loose files.

    Args:
        buckets: each site's.
        trees: of the sites that answered.
        failed: takes the error of a site that answers no more; it is left out from there on.
    """
    yield {site: tree.loose for site, tree in trees.items()}
    names = sorted({name for tree in trees.values() for name in tree.folders})
    with ThreadPoolExecutor(_THREADS) as pool:
        for begin in range(0, len(names), _FOLDERS_AT_ONCE):
            wanted = [(name, site) for name in names[begin : begin + _FOLDERS_AT_ONCE] for site in trees]
            told = pool.map(lambda each: _list(buckets[each[1]], trees[each[1]], each[0]), wanted)
            yield from _by_folder(wanted, list(told), failed)


def complete_backups(bucket: Bucket, stanza: str, labels: Sequence[str]) -> set[str]:
    """Which of the backups are complete in a bucket.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        there = pool.map(lambda label: repository.has_backup(bucket, stanza, label), labels)
        return {label for label, is_there in zip(labels, there, strict=True) if is_there}


def _by_folder(
    wanted: Sequence[tuple[str, str]],
    told: Sequence[Sequence[Entry] | DrError],
    failed: dict[str, DrError],
) -> Iterator[Mapping[str, Sequence[Entry]]]:
    for (_, site), entries in zip(wanted, told, strict=True):
        if isinstance(entries, DrError):
            failed.setdefault(site, entries)
    for folder in dict.fromkeys(name for name, _ in wanted):
        yield {
            site: entries
            for (name, site), entries in zip(wanted, told, strict=True)
            if name == folder and site not in failed and not isinstance(entries, DrError)
        }


def answered(ask: Callable[[], T]) -> T | DrError:
    """What a store answers at the first or, after a passing failure, at the second asking; else its error."""
    try:
        return ask()
    except Transient:
        pass
    except DrError as error:
        return error
    try:
        return ask()
    except DrError as error:
        return error


def _list(bucket: Bucket, tree: Tree, folder: str) -> Sequence[Entry] | DrError:
    if folder not in tree.folders:
        return ()
    return answered(lambda: list(bucket.list(tree.folders[folder])))
