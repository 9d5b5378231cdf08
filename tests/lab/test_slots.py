"""A node that holds the slot of its site's standby leader loses it; the standby leader keeps it."""

import os
import subprocess
import time
from contextlib import contextmanager

import pytest
from waiting import until

from tasks.clients import patroni, postgres, slots
from tasks.clients.layout import slot_of

pytestmark = [pytest.mark.lab, pytest.mark.fault]
PATIENCE_S = 30
HOLDER = (
    "select application_name from pg_stat_replication join pg_replication_slots on active_pid = pid "
    "where slot_name = %s"
)


@pytest.fixture
def plan(shared_lab):
    return shared_lab().plan


def holder(plan):
    with postgres.connected(plan, active(plan)) as connection:
        row = connection.execute(HOLDER, (slot_of(plan.site_of("dr")),)).fetchone()
    return row and row["application_name"]


def active(plan):
    return patroni.leader(plan, plan.site_of("primary")).host


@contextmanager
def usurped(plan, name, folder):
    """The slot is held, for a moment at least, by a receiver that calls itself another node of the site."""
    program, where = f"{plan.access.postgres_bin}/pg_receivewal", f"host={active(plan)} user=replicator"
    argv = [
        program, "--no-loop", "--slot", slot_of(plan.site_of("dr")), "--directory", str(folder),
        "--dbname", f"{where} application_name={name}",
    ]  # fmt: skip
    environment = os.environ | {"PGPASSWORD": plan.secret("database_replication")}
    receivers, deadline = [], time.monotonic() + PATIENCE_S
    try:
        while holder(plan) != name:
            assert time.monotonic() < deadline, "the slot cannot be taken"
            if not receivers or receivers[-1].poll() is not None:
                take_away(plan)
                receivers.append(subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL))
            time.sleep(0.05)
        yield
    finally:
        for receiver in receivers:
            receiver.kill()
            receiver.wait(10)


def take_away(plan):
    with postgres.connected(plan, active(plan)) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s",
            (slot_of(plan.site_of("dr")),),
        )


def test_a_standby_leader_keeps_its_slot(plan):
    before = holder(plan)
    assert before == patroni.leader(plan, plan.site_of("dr")).name
    assert slots.free(plan, plan.site_of("dr"), plan.site_of("primary")) == []
    assert holder(plan) == before


def test_another_node_loses_it_and_the_standby_leader_streams_again(plan, tmp_path):
    """The control plane sees to it, every time that it looks at the primary."""
    site = plan.site_of("dr")
    leader = patroni.leader(plan, site).name
    other = next(name for name in plan.sites[site].running("postgres") if name != leader)
    with usurped(plan, other, tmp_path):
        until(lambda: holder(plan) == leader, PATIENCE_S)


def held_behind(plan, address):
    """The segments that the slots of other sites hold at a node, behind what it has replayed."""
    query = (
        "select max(pg_last_wal_replay_lsn() - restart_lsn) / 16777216 as segments "
        "from pg_replication_slots where not active"
    )
    with postgres.connected(plan, address) as connection:
        return int(connection.execute(query).fetchone()["segments"] or 0)


def test_a_standby_site_keeps_no_wal_for_a_site_that_does_not_follow_it(plan):
    """The control plane sees to it; else the standby's disk fills with all WAL since the site was made."""
    for _ in range(3):
        with postgres.connected(plan, active(plan)) as connection:
            connection.execute("select pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()")
    for address in plan.sites[plan.site_of("dr")].addresses("postgres"):
        until(lambda at=address: held_behind(plan, at) <= 1, PATIENCE_S)
