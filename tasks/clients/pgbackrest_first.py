"""The first WAL segment of each archive, from which pgBackRest's verify learns how large they are.

Where it cannot be decompressed, verify gives up and does not say which file it was.
Source: pgBackRest 2.45, the verify command; command reference, "Archive Get Command".
"""

import shlex
from collections.abc import Iterator

from tasks.clients.objects import Bucket, Entry
from tasks.clients.pgbackrest_command import repository
from tasks.clients.remote import run_on
from tasks.clients.repository import ROOT, archive_of
from tasks.clients.walnames import parse_archived
from tasks.plan.plan import Plan

# Exit code 1: no such segment for the database of this host, which says nothing about it.
_READ = """
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
for name in "$@"; do
    code=0
    {command} archive-get "$name" "$folder/segment" >"$folder/told" 2>&1 || code=$?
    [ "$code" -le 1 ] || echo "$name $(grep -m 1 ERROR "$folder/told" | cut -c 1-200)"
done
"""


def unreadable_first(
    plan: Plan, site: str, *, timeout: float, root: str = ROOT
) -> tuple[tuple[str, str], ...]:
    """Each archive's first segment that cannot be read, and pgBackRest's words about it.

    Raises:
        Transient: the store or every database host cannot be reached, or the time is over.
        Permanent: the store refuses.
    """
    bucket, archive = Bucket.readable(plan, site), archive_of(plan.postgresql_ha.cluster_name, root)
    first = dict(_first_segments(bucket, archive))
    if not first:
        return ()
    where = repository(plan, site, "reader", root=root)
    script = _READ.format(command=shlex.join(where.argv(["--no-archive-async"])))
    argv = ["sh", "-c", script, "sh", *first]
    told = run_on(plan, where.address, argv, timeout=timeout, secrets=where.secrets)
    found = (line.partition(" ") for line in told.splitlines())
    return tuple((first[name].key.removeprefix(f"{archive}/"), what) for name, _, what in found)


def _first_segments(bucket: Bucket, archive: str) -> Iterator[tuple[str, Entry]]:
    for database in bucket.children(archive)[0]:
        for folder in sorted(bucket.children(database)[0]):
            names = ((parse_archived(each.key.rpartition("/")[2]), each) for each in bucket.list(folder))
            whole = [(name.wal, each) for name, each in names if name and not name.partial]
            if whole:
                yield min(whole, key=lambda pair: pair[1].key)
                break
