"""What one site's WAL archive has from about a position on, with as few requests as that takes.

Source: pgBackRest source, `command/archive/common.c`: where WAL and timeline histories lie.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tasks.clients.infofile import cipher_of, read_info
from tasks.clients.objects import Bucket, Entry
from tasks.clients.repository import archive_of, newest_database
from tasks.clients.walnames import Switch, history_timeline, parse_archived, parse_history
from tasks.errors import Permanent


@dataclass(frozen=True)
class Ahead:
    """A part of a site's archive.

    Attributes:
        files: its objects by the names that PostgreSQL asks for: whole segments, and timeline histories. What
            is there twice can not be restored, and is not among them.
    """

    files: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def segments(self) -> list[str]:
        """The names of its segments."""
        return [name for name in self.files if history_timeline(name) is None]


def look(bucket: Bucket, stanza: str, lsn: int) -> Ahead:
    """List the newest database's WAL from about a position on (a folder holds 4 GiB), and all histories.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    database = newest_database(bucket, stanza)
    folders, loose = bucket.children(database) if database else ((), ())
    # A folder is named TTTTTTTTLLLLLLLL: a timeline, and the upper half of the position.
    wanted = [folder for folder in folders if folder[-8:] >= f"{lsn >> 32:08X}"]
    found = [*_whole(bucket, wanted), *((_name(entry), entry) for entry in loose if _is_history(entry))]
    count = Counter(name for name, _ in found)
    return Ahead({name: entry for name, entry in found if count[name] == 1})


def read_history(bucket: Bucket, stanza: str, entry: Entry, cipher: str) -> tuple[Switch, ...]:
    """The ancestors of a timeline whose history an archive has.

    Args:
        bucket: the archive's.
        stanza: whose archive.
        entry: the history file.
        cipher: the repository's passphrase; it opens that of the files.

    Raises:
        Transient: the store does not answer.
        Permanent: it is damaged, or another cipher's.
    """
    files = cipher_of(read_info(bucket.get(f"{archive_of(stanza)}/archive.info"), cipher))
    try:
        return parse_history(read_info(bucket.get(entry.key), files))
    except ValueError as error:
        raise Permanent(f"{entry.key} in {bucket.name} is no history", str(error)) from error


def _whole(bucket: Bucket, folders: list[str]) -> Iterator[tuple[str, Entry]]:
    for folder in folders:
        for entry in bucket.list(folder):
            archived = parse_archived(_name(entry))
            if archived and not archived.partial:
                yield archived.wal, entry


def _is_history(entry: Entry) -> bool:
    return history_timeline(_name(entry)) is not None


def _name(entry: Entry) -> str:
    return entry.key.rpartition("/")[2]
