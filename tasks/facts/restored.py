"""The recovery from backups, as the report tells it."""

from datetime import datetime

from tasks.facts.base import Fact


class ColdRestore(Fact):
    """The recovery from backups, for the report.

    Attributes:
        source: whose copy.
        newest_wal: the newest segment that it had.
        target: the moment that was asked for; the newest where None.
        reached: when the last recovered transaction was committed.
        timeline: the timeline that was recovered along.
        lsn: where it ended.
        bytes: the size of the databases.
        restore_s: seconds for the files.
        recover_s: seconds for starting it and recovering its WAL.
        kept: the directories that were set aside.
        infrastructure: what activated the hosts.
        returned: what else was restored.
        checked: how it was looked through afterwards; empty until it was.
    """

    source: str
    newest_wal: str
    target: datetime | None
    reached: datetime | None
    timeline: int
    lsn: str
    bytes: int
    restore_s: float
    recover_s: float
    kept: tuple[str, ...]
    infrastructure: str
    returned: tuple[str, ...]
    checked: str = ""
