"""A drill: what is fixed before it begins, how production stands, what is removed after it.

Source: the seed's "Testing Procedures"; DORA RTS Art. 25 and NIST SP 800-34 on test plans.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from tasks.clients import drill_ground, patroni, postgres, records
from tasks.clients.drill_ground import Ground
from tasks.clients.truth import active_site, open_incident
from tasks.clients.workspace import workspace
from tasks.drill_evidence import FOLDER
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.drill import Drill, Impact
from tasks.plan.plan import Plan
from tasks.policy.drill import SWEEP, scope_of
from tasks.policy.drill_words import ASSUMPTIONS, CRITERIA, SCENARIO, drill_markdown
from tasks.policy.tables import moment
from tasks.retry import retried


@retried("fix what the drill will show")
def begin_drill(plan: Plan, reason: str, assets: Sequence[str] | None, sites: Sequence[str] | None) -> Drill:
    """Write down the scope and the criteria before anything is done.

    Raises:
        Refused: an incident is open, the plan has no such asset or site, or leaves the asset out.
        Transient: no store takes it, or etcd has no quorum.
    """
    drills, now = plan.drills, datetime.now(UTC)
    if incident := open_incident(plan):
        raise Refused("no drill begins while an incident is open", incident, "close it first")
    for site in sites or ():
        if site not in plan.sites:
            raise Refused(f"there is no site {site}", f"the plan's sites: {', '.join(plan.sites)}")
    chosen = scope_of(plan.protection.assets(), drills.exclusions, assets)
    where = tuple(site for site in plan.sites if sites is None or site in sites)
    owner = drills.owner or plan.declaration.commanders[0]
    drill = Drill(
        id=f"{drill_ground.PREFIX}{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        kind="backup_restoration",
        reason=reason,
        began=now,
        environment=f"{plan.service.name}, {plan.service.tier} tier; restored in private on database hosts "
        "that do not lead, with no network, and in folders of the worker that no one else can read",
        plan_digest=hashlib.sha256(plan.model_dump_json().encode()).hexdigest(),
        scenario=f"{SCENARIO} ({plan.dr_testing.backup_restoration.scope})",
        copies=tuple((asset, site) for asset in chosen for site in where),
        excluded=dict(drills.exclusions),
        assumptions=ASSUMPTIONS,
        criteria=(*CRITERIA, plan.dr_testing.backup_restoration.validation),
        participants={"owner of findings": owner, "approved by": f"the plan's schedule, or {reason}"},
        rto_s=plan.tier.rto.total_seconds(),
        rpo_s=plan.tier.rpo.total_seconds(),
    )
    records.write(plan, f"{FOLDER}/{drill.id}/drill.json", drill.model_dump_json())
    create_markdown_artifact(key=drill.id.lower(), markdown=drill_markdown(drill), description=moment(now))
    return drill


@retried("see that no incident is open", times=0)
def require_calm(plan: Plan) -> None:
    """Let a recovery have everything: what a drill has not tried by then it does not try.

    Raises:
        Transient: an incident is open, or etcd has no quorum.
    """
    if incident := open_incident(plan):
        raise Transient("an incident is open", incident)


@retried("look at production", times=2, delay=5)
def look_at_production(plan: Plan) -> Impact:
    """Where the primary stands, and who follows it.

    Raises:
        Transient: no node answers.
    """
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
    for site, host in _database_hosts(plan):
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


def _database_hosts(plan: Plan) -> list[tuple[str, str]]:
    return [(site, host) for site, each in plan.sites.items() for host in each.running("postgres")]


@contextmanager
def alive(plan: Plan, drill: Drill) -> Iterator[None]:
    """While the block runs, no sweeper takes the drill's databases for leftovers."""
    with drill_ground.alive([Ground(plan, *where, drill.id) for where in _database_hosts(plan)]):
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that nobody else can read; it is gone after the block, or swept after a kill."""
    with workspace() as folder:
        yield folder
