"""The WAL that only one node has: its commits and its segments, read from its files.

Source: PostgreSQL manual, "pg_waldump".
"""

import base64
import re
import shlex
from dataclasses import dataclass
from datetime import datetime

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
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
# A recycled segment holds old pages behind the last one; a record that was torn by the end goes on in none.
_END_OF_WAL = (
    "invalid record length",
    "could not find a valid record after",
    "invalid magic number",
    "unexpected pageaddr",
    "contrecord",
)


@dataclass(frozen=True)
class Commit:
    """One commit record; rows carry the id of the transaction or of one of its subtransactions."""

    xid: int
    lsn: str
    at: datetime
    subxids: tuple[int, ...] = ()


def commits_after(plan: Plan, site: str, host: str, timeline: int, lsn: str) -> list[Commit]:
    """The commit records of a timeline from a position to the node's end of WAL.

    Raises:
        Permanent: the WAL cannot be read to its end.
        Transient: the host cannot be reached.
    """
    layout = Layout.of(plan, site, host)
    command = [
        f"{plan.access.postgres_bin}/pg_waldump",
        f"--timeline={timeline}",
        f"--start={lsn}",
        "--rmgr=Transaction",
    ]
    # pg_waldump ends with an error where WAL ends, so its words decide and not its exit code.
    script = _DUMP.format(
        wal=shlex.quote(f"{layout.data_dir}/pg_wal"), timeline=f"{timeline:08X}", command=shlex.join(command)
    )
    text = run_on(plan, str(plan.sites[site].hosts[host].address), ["sh", "-c", script], timeout=120)
    errors = [line for line in text.splitlines() if "error:" in line]
    last = max(segments_from(plan, site, host, timeline, lsn), default="")
    if any(not _is_end_of_wal(line, last) for line in errors):
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


def _is_end_of_wal(error: str, last: str) -> bool:
    # Where WAL ends at a segment's end, the next segment is missed; one missed in between is a gap.
    missed = _MISSED.search(error)
    return missed[1] > last if missed else any(end in error for end in _END_OF_WAL)


def _commit(match: re.Match[str]) -> Commit:
    at = datetime.fromisoformat(f"{match[3]}+00:00")
    return Commit(int(match[1]), match[2], at, tuple(map(int, (match[4] or "").split())))
