"""Timelines that two primaries began apart: kept from having the same number, and read where they went.

A primary whose DCS is its own comes back as a primary, since nobody could tell it otherwise, and takes the
next timeline, as the new primary did. With one number for both, neither Patroni nor pg_rewind sees that they
went apart ("on the same timeline": nothing is rewound), and one would stream into the other. So the new
primary leaves some numbers out; the old one's are between.

Source: PostgreSQL manual, "Timelines"; source, `findNewestTimeLine` (numbers are tried until one has no
history file) and pg_rewind's `findCommonAncestorTimeline`.
"""

import shlex
from collections.abc import Mapping
from itertools import pairwise

from psycopg import sql

from tasks.clients.layout import Layout
from tasks.clients.postgres import connected
from tasks.clients.remote import run_on
from tasks.errors import Permanent
from tasks.plan.plan import Plan

LEFT_OUT = 4
"""How often the old site may promote a node of its own before it is held."""

_NOTE = "# left out by naas-dr: a primary elsewhere may have taken this number"
# Marked .ready, it is archived: a recovery to the newest timeline asks the archive for each number in turn.
_FILES = (("{:08X}.history", "select {}"), ("archive_status/{:08X}.history.ready", "select {} where false"))
_THERE = "select (pg_stat_file(%s, true)).size is not null as there"
_READ = 'cd {} && for f in *.history; do [ ! -e "$f" ] || {{ echo "> $f"; cat "$f"; }}; done'
Histories = Mapping[int, Mapping[int, str]]
Branch = list[tuple[int, str]]


def leave_out(plan: Plan, address: str, timeline: int) -> None:
    """Have a standby skip the numbers after a timeline when it is promoted; a number that exists is kept.

    Raises:
        Transient, Permanent: see `postgres.connected`.
    """
    with connected(plan, address, database="postgres") as connection:
        row = connection.execute("select current_setting('data_directory') as folder").fetchone() or {}
        for number in range(timeline + 1, timeline + 1 + LEFT_OUT):
            for name, content in _FILES:
                path = f"{row['folder']}/pg_wal/{name.format(number)}"
                found = connection.execute(_THERE, (path,)).fetchone()
                if found and not found["there"]:
                    text = sql.SQL(content).format(sql.Literal(_NOTE))
                    connection.execute(sql.SQL("copy ({}) to {}").format(text, sql.Literal(path)))


def histories(plan: Plan, site: str, host: str) -> Histories:
    """The timeline histories that a node has: of each number, where each of its parents was left.

    Raises:
        Permanent: they cannot be read.
        Transient: the host cannot be reached.
    """
    folder = Layout.of(plan, site, host).data_dir / "pg_wal"
    script = _READ.format(shlex.quote(str(folder)))
    text = run_on(plan, str(plan.sites[site].hosts[host].address), ["sh", "-c", script], timeout=30)
    return parse_histories(text)


def parse_histories(text: str) -> dict[int, dict[int, str]]:
    """What `histories` reads: "> NAME" before the lines of each file."""
    found: dict[int, dict[int, str]] = {}
    parents: dict[int, str] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [">"]:
            parents = found[int(words[1][:8], 16)] = {}
        elif words and not words[0].startswith("#"):
            parents[int(words[0])] = words[1]
    return found


def branch_of(known: Histories, old: int, fork: str, new: int) -> Branch:
    """Where a node went after the fork: its timelines, each with the position from which its WAL is its own.

    Args:
        known: the histories that the node has.
        old: the timeline that was left.
        fork: where.
        new: the new primary's timeline; a node that follows it has its history too.

    Raises:
        Permanent: it took the new primary's number for a timeline of its own.
    """
    if new in known and known[new].get(old) != fork:
        raise Permanent(
            f"timeline {new} is the new primary's and one of the old site's own too",
            "neither Patroni nor pg_rewind would see that they went apart",
            "set the old site's data directories aside and have Patroni copy its nodes anew",
        )
    own = [number for number, parents in known.items() if old < number < new and old in parents]
    if not own:
        return [(old, fork)]
    left = known[max(own)]
    path = [*sorted(number for number in left if number >= old), max(own)]
    return [(old, fork), *((then, left[parent]) for parent, then in pairwise(path))]
