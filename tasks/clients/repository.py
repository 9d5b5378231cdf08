"""A site's pgBackRest repository as objects in its bucket: where things lie.

The names stay readable when the repository is encrypted; the contents do not.
Source: pgBackRest user guide, "Repository"; the layout as pgBackRest 2.45 writes it.
"""

from tasks.clients.objects import Bucket, Entry, Missing

ROOT = "pgbackrest"


def archive_of(stanza: str, root: str = ROOT) -> str:
    """Where a stanza's WAL lies."""
    return f"{root}/archive/{stanza}"


def backups_of(stanza: str, root: str = ROOT) -> str:
    """Where a stanza's backups lie."""
    return f"{root}/backup/{stanza}"


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
