"""The service at the other site on a clone of its standby, where nothing leads in or out.

Source: the seed's "Testing Procedures", failover_testing: application services, end to end.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from tasks.clients import patroni, postgres
from tasks.clients.channels.reaching import place_of, places
from tasks.clients.drill_ground import Ground
from tasks.clients.private_query import require_holds
from tasks.clients.probes import filled, require_answer
from tasks.clients.sandbox import Sandbox
from tasks.clients.truth import active_site
from tasks.clients.walnames import parse_lsn
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.drill import Drill
from tasks.plan.drills import Apart
from tasks.plan.http_probe import HttpProbe
from tasks.plan.plan import Plan
from tasks.plan.sites import Program
from tasks.plan.validation import SqlProbe, WorkflowStep
from tasks.policy.database_backup import choose_standby
from tasks.policy.switchover import MAX_LAG_BYTES
from tasks.retry import retried

_HOURS = 4 * 3600.0
# Where what an instance of the service writes would do harm.
_PORTS: tuple[tuple[Program, int], ...] = (("postgres", 5432), ("pgbouncer", 6432), ("redis", 6379))


@retried("choose a host of the other site", times=2, delay=5)
def choose_host(plan: Plan) -> tuple[str, str]:
    """A standby of a site that does not serve users, its leader last: the site and the host.

    Raises:
        Transient: none follows closely.
    """
    active = active_site(plan)
    for site in plan.sites:
        if site != active and plan.sites[site].running("postgres"):
            members = patroni.members(plan, site)
            leaders = [each.name for each in members if each.leads and each.state == "running"]
            host = choose_standby(members) or next(iter(leaders), None)
            if host:
                return site, host
    raise Transient("no standby of another site can be cloned", hint="`dr watch` shows both sites")


@retried("clone the standby", times=1, delay=10)
def clone_standby(plan: Plan, drill: Drill, where: tuple[str, str]) -> str:
    """Copy the host's standby while it goes on replaying.

    Raises:
        Permanent: it cannot be copied.
        Transient: the host cannot be reached.
    """
    ground = Ground(plan, *where, drill.id)
    ground.server.stop(remove=True)  # of a first attempt
    began = time.monotonic()
    Sandbox(ground).clone(timeout=_seconds_left(drill))
    return f"{where[1]} in {time.monotonic() - began:.1f} s"


@retried("open the clone apart", times=0)
def open_apart(plan: Plan, drill: Drill, where: tuple[str, str]) -> str:
    """Build the wall, and start the clone's server inside; both end with the drill's time.

    Raises:
        Permanent: the host allows no namespaces, or the server does not start.
        Transient: the host cannot be reached.
    """
    left = _seconds_left(drill)
    Sandbox(Ground(plan, *where, drill.id)).open(left)
    return f"for {left:.0f} s at most"


@retried("start the service apart", times=0)
def start_apart(plan: Plan, drill: Drill, where: tuple[str, str]) -> str:
    """Start the service on the clone, as the plan says.

    Raises:
        Refused: the plan does not say.
        Permanent: it does not answer.
        Transient: the host cannot be reached.
    """
    site, host = where
    apart, address = _apart(plan), plan.sites[site].hosts[host].address
    command = apart.start.format(site=site, host=host, address=address)
    took = Sandbox(Ground(plan, *where, drill.id)).serve(command, apart.url)
    return f"answers after {took:.1f} s"


@retried("see that nothing leads out", times=0)
def require_isolated(plan: Plan, drill: Drill, where: tuple[str, str]) -> str:
    """Try to reach production and the notification channels from inside.

    Raises:
        Permanent: something is reached.
        Transient: the host cannot be reached.
    """
    sandbox, doors = Sandbox(Ground(plan, *where, drill.id)), _doors(plan)
    reached = [name for name, (address, port) in doors.items() if sandbox.reaches(address, port)]
    if reached:
        hint = "see that the host's kernel gives namespaces"
        raise Permanent("what runs apart reaches production", ", ".join(reached), hint)
    return f"none of {len(doors)} doors of production is reached"


@retried("walk through the service", times=0)
def walk_through(plan: Plan, drill: Drill, where: tuple[str, str]) -> str:
    """The plan's workflow, from end to end, but for what asks servers that are not apart.

    Raises:
        Permanent: a step did not come to what the plan says.
        Transient: the host cannot be reached.
    """
    sandbox, words = Sandbox(Ground(plan, *where, drill.id)), {"id": str(uuid4()), "site": where[0]}
    made = ((step.name, _made(plan, sandbox, step, words)) for step in plan.validation.workflow)
    done = [f"{name}: {told}" for name, told in made if told]
    if not done:
        raise Permanent("the plan has no workflow to walk through", "validation.workflow", "describe one")
    return "; ".join(done)


@retried("see that the standby follows as before", times=2, delay=3)
def require_following(plan: Plan, where: tuple[str, str]) -> str:
    """What was cloned replays what production writes, all the time.

    Raises:
        Permanent: its replay is paused.
        Transient: it is behind, or does not answer.
    """
    site, host = where
    address = str(plan.sites[site].hosts[host].address)
    with postgres.connected(plan, address) as connection:
        row = connection.execute("select pg_is_wal_replay_paused() as paused").fetchone()
    if row and row["paused"]:
        raise Permanent(f"the replay of {host} is paused", hint="`select pg_wal_replay_resume()` there")
    primary = postgres.position(plan, patroni.leader(plan, active_site(plan)).host)
    behind = parse_lsn(primary.lsn) - parse_lsn(postgres.position(plan, address).lsn)
    if behind > MAX_LAG_BYTES:
        raise Transient(f"{host} is behind", f"{behind} bytes of WAL")
    return f"{host} is {max(0, behind)} bytes of WAL behind"


def _apart(plan: Plan) -> Apart:
    if plan.drills.apart is None:
        raise Refused("the plan does not say how the service is started apart", hint="see `drills.apart`")
    return plan.drills.apart


def _seconds_left(drill: Drill) -> float:
    if drill.ends is None:
        return _HOURS
    left = (drill.ends - datetime.now(UTC)).total_seconds()
    if left <= 0:
        raise Permanent("the drill's time is over", f"it had until {drill.ends:%H:%M:%S} UTC")
    return left


def _doors(plan: Plan) -> Mapping[str, tuple[str, int]]:
    doors = {"the public endpoint": (str(plan.service.endpoint.address), plan.service.endpoint.port)}
    for site, each in plan.sites.items():
        doors[f"the store of {site}"] = place_of(each.storage.endpoint)
        for name, host in each.hosts.items():
            ports = [(program, port) for program, port in _PORTS if program in host.runs]
            doors |= {f"{program} on {name}": (str(host.address), port) for program, port in ports}
    return {**doors, **places(plan)}


def _made(plan: Plan, sandbox: Sandbox, step: WorkflowStep, words: Mapping[str, str]) -> str:
    """What a step came to; empty where it asks what is not apart."""
    match step.kind:
        case HttpProbe() as wanted:
            return _asked(sandbox, _apart(plan).url, wanted, words)
        case SqlProbe(node="primary") as wanted:
            require_holds(sandbox.server, step.name, wanted, words)
            return "holds"
    return ""


def _asked(sandbox: Sandbox, url: str, wanted: HttpProbe, words: Mapping[str, str]) -> str:
    limit, began = wanted.within.total_seconds(), time.monotonic()
    body = None if wanted.body is None else json.dumps(filled(wanted.body, words))
    status, text = sandbox.ask(wanted.method, url + filled(wanted.path, words), body, limit)
    require_answer(f"{wanted.method} {wanted.path}", wanted, words, status, text)
    return f"{status} in {(time.monotonic() - began) * 1000:.0f} ms"
