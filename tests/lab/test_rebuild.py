"""What cannot be rewound is saved from first, then made anew from its own site's repository."""

import re
import time
from datetime import UTC, datetime

import httpx
import pytest
from test_recovery import (
    ORDERS_A_SECOND,
    assert_exact,
    assert_one_redis_master,
    assert_streams,
    replication_held_back,
    report,
)

from infra.lab.network import Namespaces
from infra.lab.network.topology import DEVICE
from tasks.clients import patroni, postgres, rebuild
from tasks.clients.command import run
from tasks.clients.digests import digests_of
from tasks.clients.layout import Layout
from tasks.clients.objects import Bucket
from tasks.clients.psql import Psql
from tasks.clients.repository import newest_database
from tasks.errors import DrError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.fault,
    pytest.mark.long,
    pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available())),
]

BALLAST = """
create table ballast as
select n, md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text) as text from generate_series(1, 1000000) n
"""
_PAGE = 8192
_REMOVED = re.compile(r"^(\S+ \S+) WARNING: remove_data_directory_on_rewind_failure is set", re.MULTILINE)


def ask(lab, site, text, timeout=120):
    """What a site's leader answers, in one column."""
    address = patroni.leader(lab.plan, site).host
    with postgres.connected(lab.plan, address, timeout=timeout) as connection:
        done = connection.execute(text)
        return done.fetchone() if done.description else None


def begin_segment(lab, site):
    """A checkpoint, and a new segment after it; the name of the one that holds the checkpoint."""
    # Not on its first page, which `damage` spares.
    ask(lab, site, "create table filler as select generate_series(1, 20000) n")
    ask(lab, site, "checkpoint")
    [name] = ask(lab, site, "select pg_walfile_name(pg_current_wal_lsn())").values()
    ask(lab, site, "select pg_switch_wal()")
    return name


def data_of(lab, site):
    return {
        host: Layout.of(lab.plan, site, host).data_dir for host in lab.plan.sites[site].running("postgres")
    }


def damage(lab, site, segment):
    """Overwrite a segment on every node of a site, but for the page that tells its size."""
    for folder in data_of(lab, site).values():
        path = folder / "pg_wal" / segment
        with path.open("r+b") as file:
            file.seek(_PAGE)
            file.write(bytes(path.stat().st_size - _PAGE))


def received(lab, site):
    """Bytes that came to a site over the links so far."""
    prefix = lab.home.network().prefix(site)
    rows = run([*prefix, "cat", "/proc/net/dev"], timeout=10)
    [counters] = re.findall(rf"^\s*{DEVICE}:\s*(\d+)", rows, re.MULTILINE)
    return int(counters)


def log_of(lab, site, host):
    return (Layout.of(lab.plan, site, host).root / "var/log/patroni.log").read_text(errors="replace")


def step(lab, name):
    [*_, found] = [
        each for each in report(lab)["steps"] if each["name"] == name and each["outcome"] == "done"
    ]
    return found


def assert_saved_before_removed(lab, site):
    saved = datetime.fromisoformat(step(lab, "save what only the old site has")["ended"])
    for host in lab.plan.sites[site].running("postgres"):
        removed = _REMOVED.findall(log_of(lab, site, host))
        assert removed, f"{host} was not made anew"
        for moment in removed:
            assert datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC) > saved


def assert_equal(lab, *sites, patience_s=20):
    """Every node holds the same rows in every table."""
    nodes = [(site, host) for site in sites for host in lab.plan.sites[site].running("postgres")]
    deadline = time.monotonic() + patience_s
    while True:
        found = {where: digests_of(Psql(lab.plan, *where)) for where in nodes}
        [first, *others] = found.values()
        if all(each == first for each in others):
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    assert first[f"{lab.plan.service.database}/public.ballast"].rows == 1000000


@pytest.fixture(scope="module")
def lab(labs):
    return labs.fresh("namespaces")


@pytest.mark.timeout(800)
def test_a_site_that_cannot_be_rewound_is_restored_from_its_own_repository(lab):
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    nodes = list(lab.plan.sites[old].running("postgres"))
    ask(lab, old, BALLAST)
    [size] = ask(lab, old, "select pg_database_size(current_database())").values()
    lab.dr("run", "backup-database", "--param", "kind=full", site=new)
    lab.dr("run", "replicate-backups", site=new)
    common = begin_segment(lab, old)
    lab.dr("lab", "load", "--rate", str(ORDERS_A_SECOND))
    time.sleep(3)
    with replication_held_back(lab, old, new):
        time.sleep(2)
        lab.dr("lab", "break", old)
    lab.dr("run", "fail-over", "--param", "reason=power loss", site=new)
    lab.dr("lab", "load", "--stop")
    bound = report(lab)["rpo"]
    lab.dr("lab", "heal", old)
    damage(lab, old, common)

    before = received(lab, old)
    lab.dr("run", "bring-back", site=new, timeout=240)
    crossed = received(lab, old) - before

    ways = step(lab, "rejoin as a standby")["result"]["ways"]
    told = [
        line for host in nodes for line in log_of(lab, old, host).splitlines() if "from_repository" in line
    ]
    given = step(lab, "bring the new WAL to the nearest repository")["result"]
    print(f"{crossed / 1e6:.0f} MB crossed for {len(nodes)} nodes of {size / 1e6:.0f} MB: {ways}")  # noqa: T201 - evidence
    print("\n".join([str(given), *told]))  # noqa: T201 - evidence
    assert_streams(lab, old)
    assert ways == dict.fromkeys(nodes, rebuild.RESTORED)
    assert_saved_before_removed(lab, old)
    assert assert_exact(lab, bound) > 0
    assert crossed < size / 3
    assert_equal(lab, old, new)
    assert_one_redis_master(lab, new)
    assert patroni.REBUILD not in patroni.read_config(lab.plan, old)["postgresql"]


def make_anew(lab, site):
    """Let Patroni make a replica of a site anew; how it was done."""
    replica = next(member for member in patroni.members(lab.plan, site) if not member.leads)
    before = rebuild.label_of(lab.plan, site, replica.name)
    httpx.post(
        f"http://{replica.host}:8008/reinitialize",
        json={"force": True},
        auth=("patroni", lab.plan.secret("patroni_api")),
        timeout=10,
    ).raise_for_status()
    deadline = time.monotonic() + 90
    while True:
        try:
            assert_streams(lab, site)
            way = rebuild.way_of(before, rebuild.label_of(lab.plan, site, replica.name))
            if way != rebuild.FOLLOWED:
                return way
        except (AssertionError, DrError):
            pass
        assert time.monotonic() < deadline, patroni.members(lab.plan, site)
        time.sleep(0.5)


@pytest.mark.timeout(300)
def test_where_the_repository_leads_elsewhere_another_server_is_copied(lab):
    old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
    assert make_anew(lab, old) == rebuild.RESTORED
    bucket = Bucket.owned(lab.plan, old)
    archive = newest_database(bucket, lab.plan.postgresql_ha.cluster_name)
    bucket.put(f"{archive}/00000003.history", b"a timeline that nobody is on")
    assert make_anew(lab, old) == rebuild.COPIED
    assert_equal(lab, old, new)
