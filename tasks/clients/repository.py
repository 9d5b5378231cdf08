"""A site's pgBackRest repository as objects in its bucket: where things lie, and copying it whole.

The names stay readable when the repository is encrypted; the contents do not.
Source: pgBackRest user guide, "Repository"; the layout as pgBackRest 2.45 writes it.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import chain

from tasks.clients.copies import copy, is_copy, is_streamed, put_copy
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.errors import Transient

ROOT = "pgbackrest"
# 16 threads measured best for small objects; streamed ones hold some 25 MiB each.
_SMALL_THREADS, _STREAM_THREADS = 16, 4
# Of every pair the first is what pgBackRest reads, the second what it falls back to.
_ARCHIVE_INFO = ("archive.info", "archive.info.copy")
_BACKUP_INFO = ("backup.info", "backup.info.copy")

Progress = Callable[[int, int], None]
Content = tuple[Entry, bytes]


def archive_of(stanza: str) -> str:
    """Where a stanza's WAL lies."""
    return f"{ROOT}/archive/{stanza}"


def backups_of(stanza: str) -> str:
    """Where a stanza's backups lie."""
    return f"{ROOT}/backup/{stanza}"


def read_infos(source: Bucket, stanza: str) -> list[Content]:
    """The info files, archive before backups: the order in which a copy may write them.

    Raises:
        Transient, Permanent: see `Bucket`; Missing where the repository has no such stanza.
    """
    archive = [source.read(f"{archive_of(stanza)}/{name}") for name in _ARCHIVE_INFO]
    return [*archive, *(source.read(f"{backups_of(stanza)}/{name}") for name in _BACKUP_INFO)]


def read_archive_info(source: Bucket, stanza: str) -> list[Content]:
    """The archive's info files alone.

    Raises:
        Transient, Permanent: see `Bucket`; Missing where the repository has no such stanza.
    """
    return [source.read(f"{archive_of(stanza)}/{name}") for name in _ARCHIVE_INFO]


def list_segments(bucket: Bucket, stanza: str) -> list[Entry]:
    """Everything in the newest database's archive; empty where there is none."""
    newest = newest_database(bucket, stanza)
    return list(bucket.list(newest)) if newest else []


def newest_database(bucket: Bucket, stanza: str) -> str | None:
    """The folder of the newest database id, such as `archive/STANZA/15-1`."""
    folders, _ = bucket.children(archive_of(stanza))
    return max(folders, key=lambda folder: int(folder.rpartition("-")[2]), default=None)


def has_backup(bucket: Bucket, stanza: str, label: str) -> bool:
    """Whether a backup is complete there: its manifest is written last."""
    try:
        bucket.head(f"{backups_of(stanza)}/{label}/backup.manifest")
    except Missing:
        return False
    return True


def copy_all(
    source: Bucket, target: Bucket, phases: Sequence[Sequence[Entry]], progress: Progress | None = None
) -> int:
    """Copy phase after phase; a phase begins when all of the one before has arrived.

    Args:
        source: read.
        target: written.
        phases: the objects as they were listed.
        progress: told of the bytes done and the bytes to do.

    Returns:
        the bytes copied.

    Raises:
        Transient: a store does not answer, or the source removed an object meanwhile: list it again.
        Permanent: a store refuses.
    """
    total, done = sum(entry.size for entry in chain(*phases)), 0
    for phase in phases:
        for streamed, threads in ((False, _SMALL_THREADS), (True, _STREAM_THREADS)):
            for size in _copies(source, target, [e for e in phase if is_streamed(e) == streamed], threads):
                done += size
                if progress:
                    progress(done, total)
    return done


def write_infos(target: Bucket, infos: Iterable[Content], same: Callable[[Entry], bool]) -> list[Entry]:
    """Write the info files that are not the same already, in the order given."""
    changed = [(entry, data) for entry, data in infos if not same(entry)]
    for entry, data in changed:
        put_copy(target, entry, data)
    return [entry for entry, _ in changed]


def confirm_copies(target: Bucket, doubtful: Sequence[Entry]) -> set[str]:
    """Of objects whose ETags cannot tell, the keys of those that are copies of just this version."""
    with ThreadPoolExecutor(_SMALL_THREADS) as pool:
        known = pool.map(lambda entry: is_copy(target, entry), doubtful)
        return {entry.key for entry, is_known in zip(doubtful, known, strict=True) if is_known}


def _copies(source: Bucket, target: Bucket, entries: Sequence[Entry], threads: int) -> Iterable[int]:
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(copy, source, target, entry) for entry in entries]
        try:
            for future in as_completed(running):
                yield future.result()
        except Missing as error:
            hint = "a backup expired meanwhile; the next pass lists anew"
            raise Transient("the source changed while it was copied", error.message, hint) from error
        finally:
            pool.shutdown(cancel_futures=True)
