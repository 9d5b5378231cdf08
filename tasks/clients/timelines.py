"""Timelines that two primaries began apart: kept from having the same number, and read where they went.

A primary whose DCS is its own comes back as a primary, since nobody could tell it otherwise, and takes the
next timeline, as the new primary did. With one number for both, neither Patroni nor pg_rewind sees that they
went apart ("on the same timeline": nothing is rewound), and one would stream into the other. So the new
primary leaves some numbers out, which the old one may take. It may take a higher one too: its archive has
copies of the new primary's histories as soon as WAL is pulled into it, and the numbers after them are tried.

A history of its own in that archive keeps it from following: a standby that starts looks for the newest
timeline, and does not start where that is not the new primary's. So it is withdrawn before the site follows.

Source: PostgreSQL manual, "Timelines"; source, `findNewestTimeLine` (numbers are tried until one has no
history file) and pg_rewind's `findCommonAncestorTimeline`.
"""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

from psycopg import sql

from tasks.clients import repository
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.postgres import connected
from tasks.clients.remote import run_on
from tasks.clients.walnames import history_name
from tasks.errors import Permanent
from tasks.plan.plan import Plan

LEFT_OUT = 4
"""How often the old site may promote a node of its own before it is held."""

_NOTE = "# left out by naas-dr: a primary elsewhere may have taken this number"
# Marked .ready, it is archived: a recovery to the newest timeline asks the archive for each number in turn.
_FILES = ("{}", "archive_status/{}.ready")
_THERE = "select (pg_stat_file(%s, true)).size is not null as there"
_CURRENT = """
select timeline,
       pg_read_file(format('pg_wal/%s.history', lpad(upper(to_hex(timeline)), 8, '0')), 0, 65536, true)
           as history
from (select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline) as here
"""
_READ = 'cd {} && for f in *.history; do [ ! -e "$f" ] || {{ echo "> $f"; cat "$f"; }}; done'
Histories = Mapping[int, Mapping[int, str]]
Branch = list[tuple[int, str]]


@dataclass(frozen=True)
class Lineage:
    """The timeline that a primary is on, and where each of its parents was left."""

    timeline: int
    parents: Mapping[int, str]


def leave_out(plan: Plan, address: str, timeline: int) -> None:
    """Have a standby skip numbers after a timeline when it is promoted; a number that exists is kept.

    Raises:
        Transient, Permanent: see `postgres.connected`.
    """
    with connected(plan, address, database="postgres") as connection:
        row = connection.execute("select current_setting('data_directory') as folder").fetchone() or {}
        number, left = timeline, LEFT_OUT
        while left:
            number += 1
            history, mark = (f"{row['folder']}/pg_wal/{file.format(history_name(number))}" for file in _FILES)
            found = connection.execute(_THERE, (history,)).fetchone() or {}
            if not found["there"]:
                for path, content in ((history, "select {}"), (mark, "select {} where false")):
                    text = sql.SQL(content).format(sql.Literal(_NOTE))
                    connection.execute(sql.SQL("copy ({}) to {}").format(text, sql.Literal(path)))
                left -= 1


def lineage_of(plan: Plan, address: str) -> Lineage:
    """A primary's timeline and its parents.

    Raises:
        Transient, Permanent: see `postgres.connected`.
    """
    with connected(plan, address, database="postgres") as connection:
        row = connection.execute(_CURRENT).fetchone() or {}
    text = f"> {history_name(row['timeline'])}\n{row['history'] or ''}"
    return Lineage(row["timeline"], parse_histories(text)[row["timeline"]])


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


def own_timelines(known: Histories, old: int, primary: Lineage) -> list[int]:
    """The timelines that a node began by itself after one that was left; numbers that were left out are none.

    Args:
        known: the histories that the node has.
        old: the timeline that was left.
        primary: the new primary's.

    Raises:
        Permanent: it took a number of the new primary's.
    """
    mine = [number for number, parents in known.items() if number > old and parents]
    theirs = {primary.timeline, *primary.parents}
    for number in theirs.intersection(mine):
        if known[number].get(old) != primary.parents.get(old):
            raise Permanent(
                f"timeline {number} is the new primary's and one of the old site's own too",
                "neither Patroni nor pg_rewind would see that they went apart",
                "set the old site's data directories aside and have Patroni copy its nodes anew",
            )
    return sorted(number for number in mine if number not in theirs)


def branch_of(known: Histories, old: int, fork: str, primary: Lineage) -> Branch:
    """Where a node went after the fork: its timelines, each with the position from which its WAL is its own.

    Args:
        known: the histories that the node has.
        old: the timeline that was left.
        fork: where.
        primary: the new primary's.

    Raises:
        Permanent: see `own_timelines`.
    """
    own = own_timelines(known, old, primary)
    if not own:
        return [(old, fork)]
    left = known[own[-1]]
    path = [*sorted(left), own[-1]]
    return [(old, fork), *((then, left[parent]) for parent, then in pairwise(path) if then in own)]


def withdraw(plan: Plan, site: str, timelines: Collection[int]) -> dict[str, bytes]:
    """Take the histories of these timelines out of a site's own archive; their WAL stays.

    Returns:
        what was taken, by name, as the repository had it.

    Raises:
        Transient, Permanent: see `Bucket`.
    """
    bucket, stanza = Bucket.owned(plan, site), plan.postgresql_ha.cluster_name
    newest = repository.newest_database(bucket, stanza) if timelines else None
    names = set(map(history_name, timelines))
    taken = {}
    for entry in bucket.children(newest)[1] if newest else ():
        if (name := entry.key.rpartition("/")[2]) in names:
            taken[name] = bucket.get(entry.key)
            bucket.delete(entry.key)
    return taken
