"""The restored database in service: started by Patroni, proven by a write, replicated, archived, checked."""

import time
from contextlib import suppress
from datetime import datetime

from tasks.clients import patroni, pgbackrest, postgres, switch
from tasks.clients.buckets import ensure_bucket
from tasks.clients.psql import Psql
from tasks.clients.remote import run_on
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.cold import Checked, Recovered, Replicas, Swapped
from tasks.facts.incident import Incident
from tasks.facts.recovery import Promotion
from tasks.plan.plan import Plan
from tasks.step import first_result, step

_PROMOTE = "promote PostgreSQL"
_HOURS = 12 * 3600.0
_LEAD_S = 600
_POLL_S = 0.1
_SLOW_POLL_S = 1.0


@step(_PROMOTE, deadline_s=_LEAD_S)
def start_leader(plan: Plan, incident: Incident, swapped: Swapped, recovered: Recovered) -> Promotion:
    """Start Patroni on the restored directory and prove by a write that it leads. The others wait.

    Raises:
        Transient: the host or etcd does not answer.
        Permanent: no write succeeded in time, or another node leads that was not made of the restored one.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    # Once it has led, any node that was made from it may.
    led = incident.resumed and first_result(plan, incident, _PROMOTE) is not None
    switch.start_database(plan, incident.to_site, swapped.host)
    address, written = _first_write(plan, incident, swapped.host, led=led)
    return Promotion(
        node=swapped.host,
        address=address,
        first_write_at=written,
        timeline=postgres.position(plan, address).timeline,
        old_timeline=recovered.timeline,
        fork_lsn=recovered.lsn,
        next_xid=recovered.next_xid,
        last_commit=recovered.reached,
    )


@step("replicas follow", deadline_s=_HOURS)
def follow(plan: Plan, incident: Incident) -> Replicas:
    """Start every other node of the site, and wait until each streams from the leader.

    They are made after the users are served: copying a whole database would slow the first of them down.

    Raises:
        Permanent: one does not within half a day.
        Transient: no node answers.
    """
    site = incident.to_site
    wanted = tuple(plan.sites[site].running("postgres"))
    for host in wanted:
        switch.start_database(plan, site, host)
    deadline = time.monotonic() + _HOURS
    while True:
        states = {member.name: member.state for member in patroni.members(plan, site)}
        leader = patroni.leader(plan, site).name
        if all(states.get(host) == "streaming" for host in wanted if host != leader):
            return Replicas(nodes=wanted, states=states)
        if time.monotonic() > deadline:
            raise Permanent(f"not every node of {site} follows", str(states))
        time.sleep(_SLOW_POLL_S)


@step("archive WAL again", deadline_s=900)
def archive_again(plan: Plan, incident: Incident) -> Checked:
    """See a segment of the recovered database arrive in its own site's repository, which is made if need be.

    Raises:
        Permanent: it does not arrive, or the site's bucket is not what the plan says.
        Transient: the leader or the store does not answer.
    """
    began = time.monotonic()
    ensure_bucket(plan, incident.to_site)
    leader = patroni.leader(plan, incident.to_site).name
    pgbackrest.create_stanza(plan, incident.to_site, leader)
    pgbackrest.check(plan, incident.to_site, leader)
    return Checked(node=leader, method="pgbackrest check", seconds=round(time.monotonic() - began, 3))


@step("check every table and index", deadline_s=_HOURS)
def check_tables(plan: Plan, incident: Incident) -> Checked:
    """Read the whole recovered database with pg_amcheck, after its users are served.

    Raises:
        Permanent: something is corrupt; what, is the detail.
        Transient: the leader does not answer.
    """
    began = time.monotonic()
    leader = patroni.leader(plan, incident.to_site)
    argv = [*Psql(plan, incident.to_site, leader.name).command("pg_amcheck"), "--all", "--install-missing"]
    run_on(plan, leader.host, [*argv, "--heapallindexed", "--jobs=2"], timeout=_HOURS)
    took = round(time.monotonic() - began, 3)
    return Checked(node=leader.name, method="pg_amcheck of all databases", seconds=took)


def _first_write(plan: Plan, incident: Incident, restored: str, *, led: bool) -> tuple[str, datetime]:
    """The node that took a write (the restored one; once that has led, whoever leads), and its clock then."""
    own = str(plan.sites[incident.to_site].hosts[restored].address)
    deadline = time.monotonic() + _LEAD_S
    while True:
        leader = _leader(plan, incident.to_site)
        if leader and leader.name != restored and not led:
            hint = f"stop its Patroni and PostgreSQL, let {restored} lead, then resume the incident"
            raise Permanent(f"{leader.name} leads, not {restored} that was restored", leader.host, hint)
        address = leader.host if leader else own
        try:
            return address, postgres.prove_write(plan, address, incident.id)
        except DrError as error:
            if time.monotonic() > deadline:
                raise Permanent(f"the restored PostgreSQL at {address} takes no write", str(error)) from error
            if isinstance(error, Permanent):  # it answers, and is read-only until Patroni looks again
                with suppress(DrError):
                    patroni.wake(plan, incident.to_site, address)
        time.sleep(_POLL_S)


def _leader(plan: Plan, site: str) -> patroni.Member | None:
    try:
        return patroni.leader(plan, site)
    except Transient:
        return None
