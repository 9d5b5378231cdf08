"""`dr prepare`: what servers are given once, made where it is missing and otherwise left alone."""

import pytest
from psycopg import sql

from infra.prepare import make_database, prepare
from tasks.clients import patroni, postgres
from tasks.clients.layout import SERVICE_ROLE
from tasks.errors import Transient

pytestmark = pytest.mark.lab

ELSEWHERE = "prepared_elsewhere"
KNOWN = """
select rolpassword, (select count(*) from naas_dr.heartbeat) as beats, (select count(*) from orders) as orders
from pg_authid where rolname = %s
"""


@pytest.fixture(scope="module")
def lab(shared_lab):
    return shared_lab()


@pytest.fixture
def leader(lab):
    return patroni.leader(lab.plan, lab.plan.site_of("primary")).host


@pytest.fixture
def elsewhere(lab, leader):
    """The plan of a service whose database is not there yet."""
    plan = lab.plan
    yield plan.model_copy(update={"service": plan.service.model_copy(update={"database": ELSEWHERE})})
    with postgres.connected(plan, leader, database="postgres") as connection:
        connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(ELSEWHERE)))


def known(plan, leader):
    with postgres.connected(plan, leader) as connection:
        return connection.execute(KNOWN, (SERVICE_ROLE,)).fetchone()


def test_the_same_again_says_what_is_in_place_and_changes_nothing(lab, leader):
    plan, before = lab.plan, known(lab.plan, leader)
    lines = lab.dr("prepare").splitlines()
    assert [line.partition(":")[0] for line in lines] == [*plan.sites, *[plan.site_of("primary")] * 2]
    for name, site in plan.sites.items():
        assert any(line.startswith(name) and site.storage.bucket in line for line in lines)
    assert known(plan, leader) == before


def test_a_database_that_is_missing_takes_the_heartbeat_afterwards(elsewhere, leader):
    make_database(elsewhere, elsewhere.site_of("primary"))
    assert postgres.prove_write(elsewhere, leader, "prepared")


def test_a_standby_is_given_nothing(elsewhere):
    with pytest.raises(Transient, match="in recovery"):
        make_database(elsewhere, elsewhere.site_of("dr"))


def test_a_store_that_is_away_is_named_before_any_database_is_touched(elsewhere, leader):
    name = elsewhere.site_of("archive")
    site = elsewhere.sites[name]
    away = site.storage.model_copy(update={"endpoint": "https://127.0.0.1:1"})
    sites = elsewhere.sites | {name: site.model_copy(update={"storage": away})}
    with pytest.raises(Transient, match=site.storage.bucket):
        list(prepare(elsewhere.model_copy(update={"sites": sites})))
    with postgres.connected(elsewhere, leader, database="postgres") as connection:
        assert not connection.execute("select 1 from pg_database where datname = %s", (ELSEWHERE,)).fetchone()
