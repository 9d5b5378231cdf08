"""The monthly drill in the lab: green where all is well, red where a fault is planted, and nothing left."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from drill_traces import left
from lab_handle import DR
from waiting import until

from infra.lab.traffic import add_rows
from infra.load.ledger import Ledger
from tasks.clients import archiver, drill_ground, held, patroni, postgres
from tasks.clients.objects import Bucket
from tasks.clients.private import PrivateServer
from tasks.clients.repository import backups_of, list_segments
from tasks.drill_evidence import read_drill_reports
from tasks.errors import Permanent, Transient
from tasks.rehearse import choose_database, compare_rows, take_reference
from tasks.restore_database import open_restored, restore_files
from tasks.sealed import verify_evidence

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

FLOW = "drill-backup-restoration"
WAYS = ("newest", "random")
DATABASE = ("--param", 'assets=["database"]')


@pytest.fixture(scope="module")
def lab(labs):
    """A lab under load, with a point of every kind at every site."""
    lab = labs.fresh("loopback")
    add_rows(lab.plan, lab.plan.site_of("primary"), 50_000)
    lab.back_up()
    lab.dr("lab", "load", "--rate", "20")
    yield lab
    labs.end()


def drilled(lab, *parameters):
    """Hold a drill; its exit code and its report."""
    ended = lab.attempt("run", FLOW, *parameters, timeout=400)
    return ended.returncode, read_drill_reports(lab.plan)[-1]


def copy_of(lab, role):
    return *DATABASE, "--param", f'sites=["{lab.plan.site_of(role)}"]'


def told(report):
    """What was wrong with each trial."""
    return {each.name: each.wrong and f"{each.wrong.name}: {each.wrong.detail}" for each in report.trials}


def test_every_asset_comes_back_from_every_copy_and_production_does_not_notice(lab):
    plan = lab.plan
    code, report = drilled(lab, "--param", "reason=the first of the month")
    assert (code, report.verdict, report.impact, report.findings) == (0, "passed", (), ())
    tried = {each.name for each in report.trials}
    assert tried == {f"{a} from {s}, {v}" for a in plan.protection.assets() for s in plan.sites for v in WAYS}
    proofs = [
        act.detail for each in report.trials for act in each.acts if act.name.startswith("compare its rows")
    ]
    assert len(proofs) == len(plan.sites)
    assert all(" equal those of postgres-replica" in each for each in proofs)
    assert left(plan) == set()
    book = Ledger.read(lab.home.ledger)
    assert not book.unacknowledged
    lab.dr("run", "seal-reports")
    evidence = verify_evidence(plan)
    assert evidence.flaws == ()
    assert report.drill.id in {link.seal.subject for link in evidence.links}


@pytest.mark.long
def test_a_damaged_backup_turns_its_copy_red_and_its_retest_closes_the_finding(lab):
    site = lab.plan.site_of("dr")
    bucket = Bucket.owned(lab.plan, site)
    folder = backups_of(lab.plan.postgresql_ha.cluster_name)
    damaged = [each.key for each in bucket.list(folder) if "/bundle/" in each.key or each.size > 100_000]
    assert damaged
    kept = {key: bucket.get(key) for key in damaged}
    try:
        for key, content in kept.items():
            bucket.put(key, content[: len(content) // 2] + b"x" * (len(content) - len(content) // 2))
        code, report = drilled(lab, *copy_of(lab, "dr"))
    finally:
        for key, content in kept.items():
            bucket.put(key, content)
    assert (code, report.verdict) == (1, "failed"), told(report)
    assert {each.wrong.name for each in report.trials} == {"restore the database beside"}
    newest = next(each for each in report.findings if "newest" in each.trial)
    assert (newest.severity, newest.status) == ("critical", "open")
    assert left(lab.plan) == set()
    code, report = drilled(lab, *copy_of(lab, "dr"))
    assert (code, report.verdict) == (0, "passed")
    assert {each.status for each in report.findings} == {"passed its retest"}


@pytest.mark.long
def test_missing_wal_is_named(lab):
    plan, primary = lab.plan, lab.plan.site_of("primary")
    stanza, dr = plan.postgresql_ha.cluster_name, plan.site_of("dr")
    ended = archiver.switch_wal(plan, patroni.leader(plan, primary).host)
    until(lambda: held.look(plan, dr).newest_wal >= ended)
    gone = []
    try:
        for site in (primary, dr):  # the copy would take it from its source again
            bucket = Bucket.owned(plan, site)
            key = next(each.key for each in list_segments(bucket, stanza) if ended in each.key)
            gone.append((bucket, key, bucket.get(key)))
            bucket.delete(key)
        code, report = drilled(lab, *copy_of(lab, "dr"))
    finally:
        for bucket, key, content in gone:
            bucket.put(key, content)
    assert (code, report.verdict) == (1, "failed"), told(report)
    newest = next(each for each in report.trials if each.name.endswith("newest"))
    assert newest.wrong.name == "open the restored database"
    assert "recovery ended before configured recovery target" in newest.wrong.detail
    assert left(plan) == set()


@pytest.mark.long
def test_a_broken_invariant_is_named(lab):
    plan = lab.plan
    address = patroni.leader(plan, plan.site_of("primary")).host
    with postgres.connected(plan, address) as connection:
        connection.execute("alter table orders drop constraint orders_quantity_check")
        connection.execute("insert into orders (id, item, quantity) values (gen_random_uuid(), 'none', 0)")
    try:
        code, report = drilled(lab, *copy_of(lab, "archive"))
    finally:
        with postgres.connected(plan, address) as connection:
            connection.execute("delete from orders where quantity = 0")
            connection.execute("alter table orders add constraint orders_quantity_check check (quantity > 0)")
    assert (code, report.verdict) == (1, "failed"), told(report)
    newest = next(each for each in report.trials if each.name.endswith("newest"))
    assert newest.wrong.name == "check the plan's invariants"
    assert "orders-are-whole does not hold" in newest.wrong.detail


@pytest.mark.long
def test_a_wrong_key_is_named_for_everything_that_is_sealed(lab):
    key = lab.plan.folder / "secrets/recovery_key"
    right = key.read_text()
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, timeout=30, check=True).stdout
    key.write_text(made)
    try:
        code, report = drilled(lab, "--param", 'assets=["redis", "secrets/plan", "configuration/servers"]')
    finally:
        key.write_text(right)
    assert (code, report.verdict) == (1, "failed"), told(report)
    assert {each.outcome for each in report.trials} == {"failed"}
    assert all("does not open" in each for each in told(report).values()), told(report)


def standing_still(plan, drill):
    """Patroni may resume the replay meanwhile: the task is tried again then."""
    with suppress(Transient):
        return take_reference.fn(plan, drill)


@pytest.mark.long
def test_a_table_that_came_back_empty_is_named(lab):
    plan = lab.plan
    _, report = drilled(lab, "--param", 'assets=["redis"]')
    drill = report.drill.model_copy(update={"id": "dr-drill-planted"})
    reference = until(lambda: standing_still(plan, drill))
    target = choose_database.fn(plan, drill, plan.site_of("archive"), "newest", reference)
    place = target.place
    try:
        restore_files.fn(plan, place, None, target.at, target.lsn)
        open_restored.fn(plan, place)
        assert "equal those of" in compare_rows.fn(plan, target, reference)
        server = PrivateServer(plan, place.site, place.host, place.directory)
        server.psql.query("truncate orders", database=plan.service.database)
        with pytest.raises(Permanent, match="have other rows") as caught:
            compare_rows.fn(plan, target, reference)
    finally:
        drill_ground.remove(plan, place.site, place.host, drill.id)
    assert "orders from block 0: 0 rows of" in caught.value.detail
    assert left(plan) == set()


@pytest.mark.long
def test_a_drill_that_is_killed_is_swept(lab):
    plan = lab.plan
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "LANG": "C.UTF-8",
        "DR_LAB": str(lab.home.directory),
    }
    drill = subprocess.Popen(
        [DR, "run", FLOW, *copy_of(lab, "dr")], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: [each for each in left(plan) if not str(each).endswith(".alive")], 120)
    finally:
        os.killpg(drill.pid, signal.SIGKILL)
        drill.wait(30)
    young = left(plan)
    lab.dr("run", "sweep-drills")
    assert left(plan) >= {each for each in young if isinstance(each, os.PathLike)}  # it may still live
    past = time.time() - 300
    for mark in young:
        if str(mark).endswith(".alive"):
            os.utime(mark, (past, past))
    lab.dr("run", "sweep-drills")
    assert left(plan) == set()
