"""A drill under way: how production stands, what a trial must show, what is removed after it.

Source: the seed's "Testing Procedures".
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tasks.clients import drill_ground, patroni, postgres
from tasks.clients.drill_ground import Ground
from tasks.clients.telemetry.labels import serving
from tasks.clients.truth import active_site
from tasks.clients.workspace import workspace
from tasks.drill_abort import why_ended
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.drill import Drill, Impact
from tasks.plan.plan import Plan
from tasks.policy.drill import MOVING, SWEEP, harm
from tasks.retry import retried

_SETTLED_S, _LOOK_S = 60.0, 1.0


@retried("see that nothing ends the drill", times=0)
def require_calm(plan: Plan, drill: Drill) -> None:
    """Let a recovery have everything, and whoever aborts the drill: what was not tried by then is not tried.

    Raises:
        Transient: an incident is open, the drill was aborted, or etcd has no quorum.
    """
    if why := why_ended(plan, drill.id):
        raise Transient(why)


@retried("look at production", times=2, delay=5)
def look_at_production(plan: Plan) -> Impact:
    """Where the primary stands, and who follows it.

    Raises:
        Transient: no node answers.
    """
    return _seen(plan)


@retried("look at production again", times=2, delay=5)
def look_again(plan: Plan, drill: Drill, before: Impact | None) -> Impact:
    """The same after a drill: at once, or what is seen after a minute in which something was not as before.

    After a move some nodes are started again to follow the other timeline.

    Raises:
        Transient: no node answers.
    """
    deadline = time.monotonic() + _SETTLED_S
    while True:
        after = _seen(plan)
        as_before = before is None or not harm(before, after, moved=drill.kind in MOVING)
        if as_before or time.monotonic() > deadline:
            return after
        time.sleep(_LOOK_S)


def _seen(plan: Plan) -> Impact:
    active = active_site(plan)
    leader = patroni.leader(plan, active)
    position = postgres.position(plan, leader.host)
    followers = {
        member.name: member.state
        for site in plan.sites
        if plan.sites[site].running("postgres")
        for member in patroni.members(plan, site)
        if member.name != leader.name
    }
    return Impact(
        at=datetime.now(UTC), active=active, lsn=position.lsn, timeline=position.timeline, followers=followers
    )


@retried(SWEEP, times=1)
def sweep_leftovers(plan: Plan) -> tuple[str, ...]:
    """End and remove the databases of drills that are dead, on every host.

    Returns:
        what was removed, as HOST:NAME.

    Raises:
        Permanent: something cannot be removed, or a host cannot be asked; all the others were.
    """
    removed, wrong = [], []
    for site, host in database_hosts(plan):
        try:
            for name in drill_ground.leftovers(plan, site, host):
                drill_ground.remove(plan, site, host, name)
                removed.append(f"{host}:{name}")
        except DrError as error:
            wrong.append(f"{host}: {error.message}")
    if wrong:
        raise Permanent("not every host could be swept", "; ".join(wrong))
    return tuple(removed)


@retried("put the restored copy away", times=2, delay=5)
def put_copy_away(plan: Plan, where: tuple[str, str], drill: Drill) -> None:
    """End the private server and remove its directory.

    Raises:
        Permanent: it cannot be removed.
        Transient: the host cannot be reached.
    """
    drill_ground.remove(plan, *where, drill.id)


@retried("see that files came back", times=0)
def require_files(into: Path) -> str:
    """A restore that brings nothing back is none.

    Raises:
        Permanent: there is no file.
    """
    files = [path for path in into.rglob("*") if path.is_file()]
    if not files:
        raise Permanent("nothing came back", str(into.name))
    return f"{len(files)} files, {sum(path.stat().st_size for path in files)} bytes"


@retried("see that rows came back", times=0)
def require_rows(rows: int, tables: int, source: int) -> str:
    """A database without a row is none, where its source has some.

    Args:
        rows: in the restored copy.
        tables: there.
        source: rows that were seen in the source.

    Raises:
        Permanent: it has none.
    """
    if source and not rows:
        raise Permanent("the restored database is empty", f"{tables} tables, no row; its source has {source}")
    return f"{rows} rows in {tables} tables"


@retried("hold the restore against the RTO", times=0)
def require_in_time(drill: Drill, seconds: float) -> str:
    """A restore that takes longer than the service may be away helps nobody.

    Raises:
        Permanent: it did.
    """
    told = f"{seconds:.1f} s of {drill.rto_s:.0f} s"
    if seconds > drill.rto_s:
        raise Permanent("the restore takes longer than the tier's RTO", told)
    return told


def database_hosts(plan: Plan) -> list[tuple[str, str]]:
    """Every database host, with its site."""
    return [(site, host) for site, each in plan.sites.items() for host in each.running("postgres")]


@contextmanager
def alive(plan: Plan, drill: Drill) -> Iterator[None]:
    """While the block serves the drill, no sweeper takes its databases for leftovers."""
    grounds = [Ground(plan, *where, drill.id) for where in database_hosts(plan)]
    with serving(incident=drill.id), drill_ground.alive(grounds):
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that nobody else can read; it is gone after the block, or swept after a kill."""
    with workspace() as folder:
        yield folder
