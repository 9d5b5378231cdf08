"""A table that was dropped by mistake comes back as it was at a moment before, while users go on."""

import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from infra.lab.traffic import add_rows
from tasks.clients import patroni, postgres, sealing
from tasks.clients.digests import digests_of
from tasks.clients.objects import Bucket
from tasks.clients.psql import Psql
from tasks.policy.point_in_time import schema_of

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(600), pytest.mark.long]

MAKE = """
create table invoices (id bigint generated always as identity primary key, note text not null unique);
insert into invoices (note) select 'invoice ' || n || md5(n::text) from generate_series(1, 5000) n;
create index invoices_note on invoices (left(note, 9));
grant select on invoices to naas_service;
create table prices (id int primary key, cents int not null);
insert into prices select n, n * 100 from generate_series(1, 300) n;
"""


@pytest.fixture(scope="module")
def lab(labs):
    """A lab with a backup, and users at work."""
    lab = labs.fresh("loopback")
    add_rows(lab.plan, lab.plan.site_of("primary"), 5_000)
    live(lab).query(MAKE, database=lab.plan.service.database)
    lab.dr("run", "backup-database", timeout=300)
    lab.dr("lab", "load", "--rate", "10")
    time.sleep(2)
    yield lab
    labs.end()


@pytest.fixture(scope="module")
def mistake(lab):
    """A moment, what two tables were then, and then what a person did to them."""
    before = {
        name: each for name, each in digests_of(live(lab)).items() if name.endswith(("invoices", "prices"))
    }
    time.sleep(1.5)
    moment = datetime.now(UTC)
    time.sleep(1.5)
    live(lab).query(
        "drop table invoices; update prices set cents = 0 where id <= 7", database=lab.plan.service.database
    )
    time.sleep(1)
    return moment, before


def live(lab):
    site = lab.plan.site_of("primary")
    return Psql(lab.plan, site, patroni.leader(lab.plan, site).name)


def asked(lab, at, *words):
    parameters = [word for each in (f"at={at.isoformat()}", *words) for word in ("--param", each)]
    return lab.attempt("run", "restore-point-in-time", *parameters, timeout=300)


def recovered(lab, at, *words):
    done = asked(lab, at, *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_every_table_is_compared_and_nothing_is_touched(lab, mistake):
    moment, _ = mistake
    told = recovered(lab, moment)
    assert "naas/public.invoices: dropped since, 5000 rows then, not there now" in told
    assert "naas/public.prices: changed, 300 rows then, 300 rows now" in told
    assert "naas/public.invoices" not in digests_of(live(lab))


def test_tables_are_exported_sealed_and_opened_by_the_command_that_was_told(lab, mistake, tmp_path):
    moment, _ = mistake
    told = recovered(lab, moment, "action=export", 'tables=["invoices"]')
    site = lab.plan.site_of("primary")
    (place,) = [line.rpartition(" ")[2] for line in told.splitlines() if "rows are in" in line]
    bucket, _, key = place.partition("/")
    assert bucket == lab.plan.sites[site].storage.bucket
    sealed = Bucket.readable(lab.plan, site).get(key)
    assert b"invoice 1" not in sealed
    dump = tmp_path / "table.dump"
    with dump.open("wb") as file:
        sealing.open_sealed(lab.plan, sealed, file)
    argv = [f"{lab.plan.access.postgres_bin}/pg_restore", "--data-only", "-f", "-", str(dump)]
    text = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert sum("invoice " in line for line in text.splitlines()) == 5000
    assert "age -d" in told
    assert "pg_restore" in told


def test_a_dropped_table_comes_back_in_place_and_a_changed_one_beside(lab, mistake):
    moment, before = mistake
    now = digests_of(live(lab))["naas/public.prices"]
    told = recovered(lab, moment, "action=swap", 'tables=["public.invoices", "prices"]')
    found = digests_of(live(lab))
    assert found["naas/public.invoices"] == before["naas/public.invoices"]
    schema = schema_of(moment)
    assert found[f"naas/{schema}.prices"] == before["naas/public.prices"]
    assert f"naas/{schema}.prices" in told
    # What is live was not overwritten.
    assert found["naas/public.prices"] == now != before["naas/public.prices"]
    with postgres.connected(lab.plan, live_address(lab)) as connection:
        connection.execute("insert into invoices (note) values ('after')")
        indexes = connection.execute("select count(*) as n from pg_indexes where tablename = 'invoices'")
        assert indexes.fetchone()["n"] == 3
        granted = connection.execute("select has_table_privilege('naas_service', 'invoices', 'select') as ok")
        assert granted.fetchone()["ok"]
    # Once more, the changed one is there already.
    again = asked(lab, moment, "action=swap", 'tables=["prices"]')
    assert again.returncode == 2
    assert "is there already" in again.stderr


def live_address(lab):
    return patroni.leader(lab.plan, lab.plan.site_of("primary")).host


@pytest.mark.parametrize(
    ("shift", "words", "refusal"),
    [
        (timedelta(days=-1), [], "reaches back"),
        (timedelta(hours=1), [], "not past"),
        (timedelta(), ["action=swap"], "needs tables"),
        (timedelta(), ["action=swap", 'tables=["nothing"]'], "no table nothing"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(lab, mistake, shift, words, refusal):
    schemas = "select count(*) from pg_namespace"
    before = live(lab).query(schemas, database=lab.plan.service.database)
    done = asked(lab, mistake[0] + shift, *words)
    assert done.returncode == 2
    assert refusal in done.stderr
    assert live(lab).query(schemas, database=lab.plan.service.database) == before
    left = [
        path for path in lab.home.directory.glob("sites/*/*/var/lib/postgresql/*") if "restore" in path.name
    ]
    assert left == []
