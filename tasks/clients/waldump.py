"""The WAL that only one node has: its commits and its segments, read from its files.

Source: PostgreSQL manual, "pg_waldump".
"""

import base64
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.clients.walnames import SEGMENT_SIZE, Segment, format_lsn, parse_lsn
from tasks.errors import Permanent
from tasks.plan.plan import Plan

_COMMIT = re.compile(r"tx:\s+(\d+), lsn: (\S+),.*desc: COMMIT (\S+ \S+) UTC(?:.*; subxacts:((?: \d+)+))?")
# Where a node was promoted, the segment in which its timeline was left is kept as partial.
_SEGMENT = re.compile(r"[0-9A-F]{24}(?:\.partial)?")
_MISSED = re.compile(r'could not find file "([0-9A-F]{24})"')
_DUMP = """
wal={wal}
if ls "$wal"/{timeline}*.partial >/dev/null 2>&1; then
    links=$(mktemp -d) && trap 'rm -rf "$links"' EXIT
    ln -s "$wal"/{timeline}* "$links" && cd "$links"
    for partial in *.partial; do mv -n "$partial" "${{partial%.partial}}"; done
    wal=$links
fi
TZ=UTC {command} --path="$wal" 2>&1 || true
"""
_AT = re.compile(r"(?:error in WAL record at|could not find a valid record after) ([0-9A-F]+/[0-9A-F]+)")
_PAGE = 8192
_RECORD = "rmgr: "


@dataclass(frozen=True)
class Commit:
    """One commit record; rows carry the id of the transaction or of one of its subtransactions."""

    xid: int
    lsn: str
    at: datetime
    subxids: tuple[int, ...] = ()


def commits_after(plan: Plan, site: str, host: str, timeline: int, lsn: str) -> list[Commit]:
    """The commit records of a timeline from a position to the node's end of WAL.

    WAL ends where no record can be read: a recycled segment holds anything behind the last one. Where records
    follow on later pages, it does not end but is damaged.

    Raises:
        Permanent: the WAL cannot be read to its end.
        Transient: the host cannot be reached.
    """
    dump = partial(_dump, plan, site, host, timeline)
    text = dump(lsn, "--rmgr=Transaction")
    errors = [line for line in text.splitlines() if "error:" in line]
    last = max(segments_from(plan, site, host, timeline, lsn), default="")
    if any(not _is_end_of_wal(dump, timeline, line, last) for line in errors):
        raise Permanent(f"the WAL of {host} cannot be read", "; ".join(errors)[:500])
    return parse_commits(text)


def parse_commits(text: str) -> list[Commit]:
    """The commit records in what pg_waldump prints, with its times in UTC."""
    return [_commit(match) for match in _COMMIT.finditer(text)]


def segments_from(plan: Plan, site: str, host: str, timeline: int, lsn: str) -> list[str]:
    """The WAL segment files of a timeline that a node has, from the one that holds a position.

    Raises:
        Transient: the host cannot be reached.
    """
    folder = Layout.of(plan, site, host).data_dir / "pg_wal"
    listed = run_on(plan, str(plan.sites[site].hosts[host].address), ["ls", str(folder)], timeout=30)
    high, low = (int(part, 16) for part in lsn.split("/"))
    first = f"{timeline:08X}{high:08X}{low >> 24:08X}"
    prefix = f"{timeline:08X}"
    return [f for f in listed.split() if _SEGMENT.fullmatch(f) and f >= first and f.startswith(prefix)]


def read_segment(plan: Plan, site: str, host: str, segment: str) -> bytes:
    """One WAL segment, whole.

    Raises:
        Permanent: it is not there.
        Transient: the host cannot be reached.
    """
    path = Layout.of(plan, site, host).data_dir / "pg_wal" / segment
    text = run_on(plan, str(plan.sites[site].hosts[host].address), ["base64", "-w0", str(path)], timeout=60)
    return base64.b64decode(text)


def _dump(plan: Plan, site: str, host: str, timeline: int, lsn: str, *more: str) -> str:
    """What pg_waldump prints from a position on; where WAL ends it fails, so its words decide."""
    command = [f"{plan.access.postgres_bin}/pg_waldump", f"--timeline={timeline}", f"--start={lsn}", *more]
    script = _DUMP.format(
        wal=shlex.quote(f"{Layout.of(plan, site, host).data_dir}/pg_wal"),
        timeline=f"{timeline:08X}",
        command=shlex.join(command),
    )
    return run_on(plan, str(plan.sites[site].hosts[host].address), ["sh", "-c", script], timeout=120)


def _is_end_of_wal(dump: Callable[..., str], timeline: int, error: str, last: str) -> bool:
    # Where WAL ends at a segment's end, the next segment is missed; one missed in between is a gap.
    if missed := _MISSED.search(error):
        return missed[1] > last
    found = _AT.search(error)
    if found is None:
        return False
    at = parse_lsn(found[1])
    beyond = ((at // size + 1) * size for size in (_PAGE, SEGMENT_SIZE))
    # pg_waldump waits for five seconds for a segment that is not there.
    there = (each for each in beyond if Segment.holding(timeline, each).name() <= last)
    return not any(_RECORD in dump(format_lsn(each), "--limit=1") for each in there)


def _commit(match: re.Match[str]) -> Commit:
    at = datetime.fromisoformat(f"{match[3]}+00:00")
    return Commit(int(match[1]), match[2], at, tuple(map(int, (match[4] or "").split())))
