"""Restoring apart from everything that runs, to see that it can be done. Source: the seed's "dr_testing".

Nothing here writes to production: a standby is read at one position, and every copy is opened on a host that
does not lead, in a directory that bears the drill's name.
"""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tasks.clients import archiver, held, patroni, pgbackrest, postgres
from tasks.clients.digests import SETTINGS, Digest
from tasks.clients.drill_ground import Ground
from tasks.clients.pgbackrest_command import answering_host
from tasks.clients.private import PrivateServer
from tasks.clients.private_query import require_holds
from tasks.clients.standpoint import Range, standing
from tasks.clients.truth import active_site
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.backups import Point
from tasks.facts.drill import Drill, Variant
from tasks.facts.place import Place
from tasks.facts.rehearsal import Reference, Target
from tasks.inventory import holding
from tasks.plan.plan import Plan
from tasks.plan.validation import SqlProbe
from tasks.policy.database_backup import choose_standby
from tasks.policy.drill import choose_point, random_moment
from tasks.policy.sampling import sample
from tasks.progress import shown
from tasks.retry import retried

_POLL_S = 1.0
# Who reads a standby works for a thirtieth of the time and leaves the rest to those who live on it: with a
# tenth, their p95 rose by up to a third.
REST = 29.0
_ROOM = Decimal("1.2")
_SPARE = 2**30


@retried("read a standby at one position", times=2, delay=10)
def take_reference(plan: Plan, drill: Drill) -> Reference:
    """Add up a standby's rows as of one WAL position, and have the primary end its segment behind it.

    Every table's first range is read, and of the others the plan's sample, another one in every drill.

    Raises:
        Transient: no standby follows closely, or one does not answer.
        Permanent: it is none any more.
    """
    site = active_site(plan)
    name = choose_standby(patroni.members(plan, site))
    if name is None:
        raise Transient(f"no standby of {site} follows closely")
    address = patroni.leader(plan, site).host
    with standing(plan, str(plan.sites[site].hosts[name].address), address) as point:
        at, ranges = datetime.now(UTC), point.ranges()
        chosen = sampled(ranges, plan.drills.sample, drill.id)
        with shown(f"read {name} at {point.lsn}") as told:
            sums = point.digests(chosen, REST, lambda done: told(done, len(chosen)))
    # A recovery ends before a position only once it has read a record behind it.
    postgres.prove_write(plan, address, drill.id)
    return Reference(
        standby=name,
        lsn=point.lsn,
        at=at,
        segment=archiver.switch_wal(plan, address),
        ranges=len(ranges),
        digests=tuple((each, digest.rows, digest.sum) for each, digest in sums.items()),
    )


@retried("choose what to restore", times=2, delay=10)
def choose_database(
    plan: Plan, drill: Drill, site: str, variant: Variant, reference: Reference | None
) -> Target:
    """Where to and until when a site's copy is recovered: up to the reference, or to a moment by chance.

    Raises:
        Permanent: the copy cannot reach it, or no host has room.
        Transient: the store or the hosts do not answer.
    """
    here = next(name for name in (*_others(plan), site) if plan.sites[name].running("postgres"))
    where = answering_host(plan, here, but=patroni.leader(plan, active_site(plan)).name)
    place = Place(site, *where, Ground(plan, *where, drill.id).directory)
    _require_room(plan, site, where)
    if variant == "random":
        found = held.look(plan, site)
        at = random_moment(found.ends, found.stored_at, f"{drill.id} {site}")
        return Target(place=place, at=at, point=f"{at:%Y-%m-%d %H:%M:%S}Z")
    if reference is None:
        raise Transient("there is no reference to recover to")
    waited = _until_there(plan, site, reference)
    return Target(place=place, lsn=reference.lsn, point=f"LSN {reference.lsn}", lost_s=waited)


@retried("compare its rows with the standby's", times=1)
def compare_rows(plan: Plan, target: Target, reference: Reference) -> str:
    """Hold every range that was read of the standby against the restored copy.

    Raises:
        Permanent: one has other rows.
        Transient: the host cannot be reached.
    """
    server = _server(plan, target)
    wrong = []
    for each, rows, total in reference.digests:
        found = _digest(server, each)
        if found != Digest(rows, total):
            wrong.append(f"{each.database}/{each.table} from block {each.first}: {found.rows} rows of {rows}")
    if wrong:
        raise Permanent(
            f"{len(wrong)} ranges have other rows than {reference.standby} had", "; ".join(wrong[:5])
        )
    return (
        f"{reference.rows} rows in {len(reference.digests)} of {reference.ranges} ranges equal those of "
        f"{reference.standby} at {reference.lsn}"
    )


@retried("check the plan's invariants", times=1)
def check_invariants(plan: Plan, target: Target) -> str:
    """Make the plan's own checks of rows in the restored copy.

    Raises:
        Permanent: one does not hold.
        Transient: the host cannot be reached.
    """
    server = _server(plan, target)
    wanted = {name: check.kind for name, check in plan.validation.checks.items()}
    made = []
    for name, check in wanted.items():
        if isinstance(check, SqlProbe) and check.node == "primary":
            require_holds(server, name, check, {"id": "", "site": server.site})
            made.append(name)
    return f"hold: {', '.join(made)}" if made else "the plan has none"


@retried("choose a point", run_name="choose a point of {asset} at {site}", times=2, delay=10)
def choose_stored(plan: Plan, drill: Drill, asset: str, site: str, variant: Variant) -> Point:
    """The newest of a site's points of an asset, or an older one by chance.

    Raises:
        Permanent: there is none, or the copy cannot be opened.
        Transient: the store does not answer.
    """
    return choose_point(holding(plan, site, asset), variant, f"{drill.id} {asset} {site}")


def _others(plan: Plan) -> list[str]:
    active = active_site(plan)
    return [site for site in plan.sites if site != active]


def sampled(ranges: list[Range], share: Decimal, seed: str) -> list[Range]:
    """Each table's first range, and a share of the others that depends on the seed."""
    named = {f"{each.database}/{each.table}/{each.first}": each for each in ranges}
    some = sample((name for name, each in named.items() if each.first), share, seed)
    return [each for name, each in named.items() if not each.first or name in some]


def _require_room(plan: Plan, site: str, where: tuple[str, str]) -> None:
    """A standby whose disk is full follows nobody."""
    backups = (pgbackrest.info_of(plan, site) or {}).get("backup")
    if not backups:
        raise Permanent(f"{site} has no backup of the database")
    needed = int(backups[-1]["info"]["size"] * _ROOM) + _SPARE
    free = archiver.free_bytes(plan, *where)
    if free < needed:
        raise Refused(f"{where[1]} has no room for a restored copy", f"{free} bytes free, {needed} needed")


def _until_there(plan: Plan, site: str, reference: Reference) -> float:
    """Wait for the reference's segment; how many seconds after the reference it was in the copy."""
    patience = timedelta(seconds=60) + 12 * plan.recovery.pull_interval
    while True:
        newest = held.look(plan, site)
        if newest.newest_wal >= reference.segment:
            break
        if datetime.now(UTC) - reference.at > patience:
            hint = "is WAL archiving, or replication to this site, stuck? `dr run check-wal-archiving`"
            raise Permanent(
                f"segment {reference.segment} is not at {site}", f"newest {newest.newest_wal}", hint
            )
        time.sleep(_POLL_S)
    stored = newest.stored_at or datetime.now(UTC)
    return max(0.0, round((stored - reference.at).total_seconds(), 1))


def _server(plan: Plan, target: Target) -> PrivateServer:
    place = target.place
    return PrivateServer(plan, place.site, place.host, place.directory)


def _digest(server: PrivateServer, each: Range) -> Digest:
    [line] = server.psql.query(f"{SETTINGS}\n{each.statement};", database=each.database)
    rows, total = line.split("\t")
    return Digest(int(rows), int(total))
