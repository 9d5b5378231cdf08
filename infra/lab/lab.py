"""The embedded lab: real servers for three sites on one machine, started from the rendered configuration."""

from collections.abc import Callable
from pathlib import Path

from infra.lab import provision
from infra.lab.control import control_of, prefect_home, prepare_database
from infra.lab.home import Home, lab_plan
from infra.lab.hosts import remove_sockets, write_edge
from infra.lab.network.addresses import site_addresses, world_addresses
from infra.lab.network.namespaces import Namespaces
from infra.lab.network.topology import Weather
from infra.lab.own_dcs import own_dcs_servers
from infra.lab.preflight import require_programs
from infra.lab.processes import kill_all, running
from infra.lab.repositories import make_repositories
from infra.lab.secrets import make_secrets
from infra.lab.servers import edge_servers, further_servers, servers
from infra.lab.shell import write_shell
from infra.lab.sites import BASE, STACK, WATCH, alone, prepare, require_site
from infra.lab.starting import start_missing
from infra.ui import seal_ui
from tasks.clients import redis_cluster
from tasks.clients.layout import Layout
from tasks.clients.truth import active_site
from tasks.errors import Refused, Transient
from tasks.plan.plan import Plan

Say = Callable[[str], None]


def up(home: Home, source: Path, kind: str, say: Say) -> Plan:
    """Start the lab, or repair what is missing of it; what runs is left alone.

    Args:
        home: where the lab lives.
        source: the plan to run; one that is there already is kept.
        kind: "loopback" or "namespaces".
        say: told of each stage.

    Raises:
        PlanRefused: the plan has mistakes.
        Refused: programs are missing, the lab was started with another network, or the directory is not
            a lab's.
        Transient: something did not come up in time, or another command holds the lab.
    """
    home.require_own()
    text = "" if home.exists else lab_plan(home, source, kind)
    require_programs(kind)
    with alone(home):
        if not home.exists:
            home.begin(kind, text)
        plan = _ready(home, kind)
        say("network")
        home.network().up(site_addresses(plan), world_addresses(plan))
        broken = [site for site in plan.sites if home.broken(site)]
        for site in broken:
            home.unreachable(site).unlink()
        _start_all(home, plan, say)
    return plan


def down(home: Home) -> None:
    """End every process of the lab and remove everything it left.

    Raises:
        Permanent: something outlived SIGKILL.
        Refused: the directory is not a lab's.
        Transient: another command holds the lab.
    """
    home.require_own()
    if not home.directory.exists():
        return
    with home.locked():
        kill_all(home.directory, home.directory)
        if home.exists:
            plan = home.plan()
            for site in plan.sites.values():
                remove_sockets(site.storage.endpoint)
        if Namespaces.available() is None:
            home.namespaces().down()
        kill_all(home.directory, home.directory)
        home.remove()


def break_site(home: Home, site: str) -> int:
    """Kill every process of a site with SIGKILL, at once, as a region's power loss does.

    Returns:
        how many processes died.

    Raises:
        Refused: there is no such site.
    """
    plan = home.plan()
    require_site(plan, site)
    _mark(home, site, "broken")
    return kill_all(home.directory, home.directory / "sites" / site, f"{site}/")


def cut(home: Home, site: str) -> None:
    """Isolate a site from the other sites while it keeps running.

    Raises:
        Refused: no such site, or the lab's network cannot be cut.
    """
    require_site(home.plan(), site)
    home.network().cut(site)
    _mark(home, site, "cut")


def worsen(home: Home, site: str, weather: Weather) -> None:
    """Make a site's lines slow or lossy; `heal` mends them.

    Raises:
        Refused: no such site, or the lab's network has no lines of its own.
    """
    require_site(home.plan(), site)
    home.network().worsen(site, weather)


def heal(home: Home, site: str, say: Say) -> None:
    """Bring a broken site's servers back, or rejoin a site that was cut or whose lines are bad.

    Redis and Sentinel start in the role that the truth in etcd gives the site.

    Raises:
        Refused: there is no such site.
        Transient: a server did not come up in time.
    """
    plan = home.plan()
    require_site(plan, site)
    broken = home.broken(site)
    if home.network().is_troubled(site):
        home.network().heal(site)
    home.unreachable(site).unlink(missing_ok=True)
    if broken:
        with alone(home):
            _start_site(home, plan, site, say)


def status(home: Home) -> dict[str, dict[str, str]]:
    """Each site's servers: "running" or "dead", as they are now.

    Further services are told of the active site, where etcd tells which one that is.
    """
    plan = home.plan()
    alive, active = running(home.directory), _active(plan)
    told: dict[str, dict[str, str]] = {}
    for site in plan.sites:
        further = further_servers(home, plan, site) if site == active else []
        known = servers(home, plan, site, *BASE, *STACK, WATCH)
        for server in (*known, *further, *own_dcs_servers(home, plan, site)):
            told.setdefault(site, {})[server.key.partition("/")[2]] = (
                "running" if server.key in alive else "dead"
            )
    told["edge"] = {
        server.key.partition("/")[2]: "running" if server.key in alive else "dead"
        for server in edge_servers(home, plan)
    }
    return told


def _active(plan: Plan) -> str | None:
    if not plan.services:
        return None
    try:
        return active_site(plan)
    except Transient:
        return None


def _ready(home: Home, kind: str) -> Plan:
    if home.kind != kind:
        raise Refused(f"the lab runs on {home.kind}", f"asked for {kind}", "end it first with `dr lab down`")
    plan = home.plan()
    make_secrets(plan, home.directory)
    make_repositories(plan, control_of(home, plan))
    write_shell(home, plan)
    return plan


def _start_all(home: Home, plan: Plan, say: Say) -> None:
    say("stores and etcd")
    for site in plan.sites:
        prepare(home, plan, site, plan.site_of("primary"), *BASE)
    start_missing(
        home.directory, [server for site in plan.sites for server in servers(home, plan, site, *BASE)]
    )
    provision.stores(plan)
    active = provision.truth(plan)
    write_edge(home, plan, active)
    start_missing(home.directory, edge_servers(home, plan))
    # The active site first: the other one streams from it.
    for site in sorted(plan.sites, key=lambda name: name != active):
        _start_stack(home, plan, site, active, say)
    provision.streaming(plan, active)
    for site in plan.sites:
        _start_watch(home, plan, site, active)


def _mark(home: Home, site: str, how: str) -> None:
    mark = home.unreachable(site)
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(how)


def _start_site(home: Home, plan: Plan, site: str, say: Say) -> None:
    prepare(home, plan, site, plan.site_of("primary"), *BASE)
    start_missing(home.directory, servers(home, plan, site, *BASE))
    active = provision.truth(plan)
    _start_stack(home, plan, site, active, say)
    _start_watch(home, plan, site, active)


def _start_stack(home: Home, plan: Plan, site: str, active: str, say: Say) -> None:
    if not plan.sites[site].running("postgres"):
        return
    say(f"{site}: PostgreSQL, Redis, gateway, service")
    prepare(home, plan, site, active, *STACK)
    start_missing(home.directory, own_dcs_servers(home, plan, site))
    database = servers(home, plan, site, "postgres")
    if site == active:
        # One node makes the cluster; of one that exists, any may be the only one that can lead.
        start_missing(home.directory, database if _has_replicas(plan, site) else database[:1])
        provision.database(plan, site)
    start_missing(home.directory, [*database, *servers(home, plan, site, "redis", "gateway", "pgbouncer")])
    if plan.redis_ha.mode == "cluster":
        redis_cluster.ensure(plan, site)
    start_missing(home.directory, servers(home, plan, site, "sentinel", "service"))
    if site == active:
        start_missing(home.directory, further_servers(home, plan, site))
    for name in plan.sites[site].running("control"):
        prepare_database(plan, home.root(site, name))
        prefect_home(home.root(site, name))
    for server in servers(home, plan, site, "control"):
        start_missing(home.directory, [server])
    if plan.sites[site].running("control"):
        seal_ui(control_of(home, plan))


def _has_replicas(plan: Plan, site: str) -> bool:
    _, *others = plan.sites[site].running("postgres")
    return any(Layout.of(plan, site, host).data_dir.exists() for host in others)


def _start_watch(home: Home, plan: Plan, site: str, active: str) -> None:
    prepare(home, plan, site, active, WATCH)
    start_missing(home.directory, servers(home, plan, site, WATCH))
