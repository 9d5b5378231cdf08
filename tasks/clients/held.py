"""What one site's copy of the database's backups can be recovered to, read from its bucket alone.

No database host is needed, so this can be asked when all of them are gone.
Source: pgBackRest's `backup.info`, section `backup:current`.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.clients import archives
from tasks.clients.infofile import read_info
from tasks.clients.objects import Bucket
from tasks.clients.repository import backups_of
from tasks.clients.walnames import parse_archived
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_BACKUP = re.compile(r"^(\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)=(\{.*\})$", re.MULTILINE)
_STORE_S = 10.0


@dataclass(frozen=True)
class Held:
    """A copy.

    Attributes:
        newest_wal: its newest whole segment, by its 24 digits; empty where it holds none.
        stored_at: when that was stored there.
        ends: when each whole backup ended, oldest first.
    """

    newest_wal: str
    stored_at: datetime | None
    ends: tuple[datetime, ...]


def look(plan: Plan, site: str) -> Held:
    """Read a site's copy.

    Raises:
        Transient: its store does not answer.
        Permanent: there is no repository in it, or it cannot be read.
    """
    bucket, stanza = Bucket.readable(plan, site, _STORE_S), plan.postgresql_ha.cluster_name
    text = read_info(bucket.get(f"{backups_of(stanza)}/backup.info"), plan.secret("repository_cipher"))
    ends = backup_ends(text)
    whole = archives.complete_backups(bucket, stanza, list(ends))
    segments = _newest_segments(bucket, stanza)
    newest = max(segments, default="")
    return Held(newest, segments.get(newest), tuple(sorted(ends[label] for label in whole)))


def backup_ends(info: str) -> dict[str, datetime]:
    """When each good backup ended that the text of a `backup.info` names.

    Raises:
        Permanent: it is no such file.
    """
    told = {label: json.loads(text) for label, text in _BACKUP.findall(info)}
    good = {label: each for label, each in told.items() if not each.get("backup-error")}
    try:
        return {
            label: datetime.fromtimestamp(each["backup-timestamp-stop"], UTC) for label, each in good.items()
        }
    except KeyError as error:
        raise Permanent("backup.info cannot be read", f"it lacks {error}") from error


def _newest_segments(bucket: Bucket, stanza: str) -> dict[str, datetime]:
    """The whole segments of the newest 4 GiB, and when each was stored; a later timeline is newer."""
    folders = archives.tree(bucket, stanza).folders
    entries = bucket.list(folders[max(folders)]) if folders else ()
    stored = {entry.key.rpartition("/")[2]: entry.modified for entry in entries}
    return {name[:24]: at for name, at in stored.items() if _is_whole(name)}


def _is_whole(name: str) -> bool:
    archived = parse_archived(name)
    return archived is not None and not archived.partial
