"""Make a replica from the site's own repository, where that leads to the server it is to follow.

Patroni runs this on a database host, with that host's own Python and nothing of ours; where it fails,
Patroni takes its next method. It fails rather than restore what could not follow: a backup that was taken
behind a fork, or a backup whose recovery would run past one, because PostgreSQL reads a segment of the
timeline that was left wherever the repository lacks the one of the timeline that was chosen.

Source: Patroni manual, "Building replicas"; pgBackRest command reference, "restore", "repo-ls";
PostgreSQL manual, "Streaming Replication Protocol", "Continuous Archiving: Timelines".
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_ASK_S = 120
_RESTORE_S = 24 * 3600
# A server that is itself being rewound, or begins, tells its line only after a while.
_PATIENCE_S = 30
_PAUSE_S = 2
# A server's answer has the file's name and a bar before the first line of the file.
_SWITCH = re.compile(r"(?:^|\|)\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)\s", re.MULTILINE)
_UNITS = {"MB": 1024**2, "GB": 1024**3}


class UnusableError(Exception):
    """Why the repository cannot make a replica of that server."""


class NotYetError(UnusableError):
    """The server to follow cannot tell its line now."""


@dataclass(frozen=True)
class Upstream:
    """The server to follow.

    Attributes:
        system: its system identifier.
        timeline: the timeline it is on.
        segment_size: of its WAL, in bytes.
        left: the LSN at which each ancestor of its timeline was left, oldest first.
    """

    system: str
    timeline: int
    segment_size: int
    left: Mapping[int, int]


def parse_upstream(identity: str, history: str) -> Upstream:
    """What a server tells of itself.

    Args:
        identity: its answers to IDENTIFY_SYSTEM and SHOW wal_segment_size, a line each, columns parted by |.
        history: its answer to TIMELINE_HISTORY; empty on the first timeline.

    Raises:
        UnusableError: it is no such answer.
    """
    try:
        first, size = identity.splitlines()
        system, timeline = first.split("|")[:2]
        return Upstream(system, int(timeline), int(size[:-2]) * _UNITS[size[-2:]], parse_history(history))
    except (ValueError, KeyError) as error:
        raise UnusableError(f"the server to follow tells {identity!r}") from error


def parse_history(text: str) -> dict[int, int]:
    """The ancestors that a history names, oldest first, and the LSN at which each was left."""
    return {int(parent): parse_lsn(lsn) for parent, lsn in _SWITCH.findall(text)}


def parse_lsn(text: str) -> int:
    """The byte position that "16/B374D848" stands for."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def newest_backup(stanza: Mapping[str, Any], upstream: Upstream) -> tuple[str, int, str]:
    """The newest backup on the line of the server to follow.

    Args:
        stanza: as `pgbackrest info` tells it.
        upstream: the server.

    Returns:
        its label, its timeline, and the archive with its WAL.

    Raises:
        UnusableError: there is none.
    """
    archives = {
        each["id"]: f"{each['version']}-{each['id']}"
        for each in stanza.get("db", ())
        if str(each["system-id"]) == upstream.system
    }
    for backup in reversed(stanza.get("backup", ())):
        timelines = {int(backup["archive"][end][:8], 16) for end in ("start", "stop")}
        timeline, end = min(timelines), parse_lsn(backup["lsn"]["stop"])
        on_line = timeline == upstream.timeline or end <= upstream.left.get(timeline, -1)
        if len(timelines) == 1 and on_line and not backup["error"] and backup["database"]["id"] in archives:
            return backup["label"], timeline, archives[backup["database"]["id"]]
    raise UnusableError("no backup in the repository is on the line of the server to follow")


def require_line(upstream: Upstream, timeline: int, archived: Sequence[str]) -> None:
    """See that a recovery from a timeline takes the same turns as the server did.

    Args:
        upstream: the server.
        timeline: the one it begins on.
        archived: the names of what the archive holds.

    Raises:
        UnusableError: it might take another, or none.
    """
    names = {name.rpartition("/")[2].partition("-")[0] for name in archived}
    # PostgreSQL looks for the newest timeline by counting up from its own.
    for each in range(timeline + 1, upstream.timeline + 1):
        if f"{each:08X}.history" not in names:
            raise UnusableError(f"the history of timeline {each} is not in the repository")
    if f"{upstream.timeline + 1:08X}.history" in names:
        raise NotYetError(f"the repository knows timeline {upstream.timeline + 1}, the server does not")
    line = [*upstream.left, upstream.timeline]
    for parent, child in pairwise(line):
        first = segment_name(child, upstream.left[parent], upstream.segment_size)
        if parent >= timeline and first not in names:
            raise UnusableError(f"{first}, where timeline {child} begins, is not in the repository")


def segment_name(timeline: int, lsn: int, size: int) -> str:
    """The name of the WAL segment that holds a position."""
    high, low = divmod(lsn // size, 0x1_0000_0000 // size)
    return f"{timeline:08X}{high:08X}{low:08X}"


def main(arguments: Sequence[str], patience_s: float = _PATIENCE_S) -> int:
    """Restore; 0 where the directory holds a replica of the server, 1 where it does not."""
    asked = _parse(arguments)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            label = _restore(asked)
        except (
            UnusableError,
            OSError,
            subprocess.SubprocessError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            if isinstance(error, NotYetError) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
            sys.stderr.write(f"from_repository: not restored: {error}\n")
            return 1
        sys.stderr.write(f"from_repository: {asked.datadir} restored from {label}\n")
        return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--psql", required=True, help="the program")
    parser.add_argument("--pgbackrest", required=True, help="the command, with its configuration and stanza")
    parser.add_argument("--datadir", required=True)
    parser.add_argument("--connstring", default="", help="of the server to follow")
    return parser.parse_known_args(arguments)[0]


def _restore(asked: argparse.Namespace) -> str:
    if not asked.connstring:
        raise UnusableError("there is no server to follow, so that its line is not known")
    upstream = _ask(asked.psql, asked.connstring)
    pgbackrest = shlex.split(asked.pgbackrest)
    stanzas = json.loads(_run([*pgbackrest, "info", "--output=json"]))
    stanza = stanzas[0] if stanzas else {}
    label, timeline, archive = newest_backup(stanza, upstream)
    folder = f"archive/{stanza['name']}/{archive}"
    require_line(upstream, timeline, _run([*pgbackrest, "repo-ls", "--recurse", folder]).splitlines())
    if timeline != upstream.timeline:
        text = _run([*pgbackrest, "repo-get", f"{folder}/{upstream.timeline:08X}.history"])
        if parse_history(text) != upstream.left:
            raise UnusableError(f"the repository knows another timeline {upstream.timeline}")
    # Patroni writes the recovery's settings itself; of these only the signal to be a standby stays.
    _run([*pgbackrest, "restore", "--delta", "--type=standby", f"--set={label}"], timeout=_RESTORE_S)
    return label


def _ask(psql: str, connection: str) -> Upstream:
    """Ask the primary where several servers are named, else the one that is there."""
    failure = ""
    for attributes in ("primary", "any"):
        where = f"{connection} replication=true connect_timeout=30 target_session_attrs={attributes}"
        argv = [psql, "-X", "-w", "-A", "-t", "-d", where]
        try:
            identity = _run([*argv, "-c", "IDENTIFY_SYSTEM", "-c", "SHOW wal_segment_size"])
            timeline = int(identity.split("|")[1])
            history = _run([*argv, "-c", f"TIMELINE_HISTORY {timeline}"]) if timeline > 1 else ""
            return parse_upstream(identity, history)
        except (UnusableError, IndexError, ValueError) as error:
            failure = str(error)
    raise NotYetError(f"the server to follow does not answer: {failure}")


def _run(argv: Sequence[str], timeout: float = _ASK_S) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise UnusableError(f"{argv[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
