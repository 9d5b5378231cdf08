"""Bring the old site home as a standby: save what only it has, then let it rewind or be made anew.

Either discards what only that node had. So the old site is a standby of nobody, in its own configuration,
until the WAL behind the fork and the rows in it are in two other sites' stores.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import (
    journal,
    ledger,
    patroni,
    postgres,
    rebuild,
    redis_site,
    rescue,
    timelines,
    waldump,
)
from tasks.clients.truth import active_site
from tasks.errors import Permanent, Transient
from tasks.facts.incident import Incident
from tasks.facts.loss import Divergence
from tasks.facts.recovery import Promotion, Return
from tasks.following import streaming, until_streaming
from tasks.plan.plan import Plan
from tasks.step import first_result, step

_SAVE = "save what only the old site has"
_RETURN_S = 90
_REBUILD_S = 12 * 3600.0
_POLL_S = 0.25
T = TypeVar("T")


@step(_SAVE)
def save_divergence(plan: Plan, incident: Incident, promotion: Promotion) -> Divergence:
    """Read the old site's WAL behind the fork and save it, with the rows it left, before any rewind.

    What was saved once stands: since then the node that had it may have been rewound.

    Raises:
        Transient: the old site does not answer yet.
        Permanent: it answers, but its WAL cannot be read or saved.
    """
    if incident.resumed and (first := first_result(plan, incident, _SAVE)):
        for address in plan.sites[incident.failed_site].addresses("postgres"):
            _refuse_a_second_primary(plan, address)
        return Divergence.model_validate(first)
    host, commits = _until(lambda: _furthest_node(plan, incident.failed_site, promotion), _RETURN_S)
    wrote = {xid: commit.xid for commit in commits for xid in (commit.xid, *commit.subxids)}
    rows = rescue.rows_of(plan, incident.failed_site, host, list(wrote)) if commits else []
    with_rows = {wrote[row.xid] for row in rows}
    times = [commit.at for commit in commits if commit.xid in with_rows]
    told = _told(plan, rows)
    saved = _save(plan, incident, promotion, host, rows) if commits else ()
    return Divergence(
        node=host,
        commits=len(commits),
        with_rows=len(with_rows),
        unacknowledged=len(with_rows - {wrote[row.xid] for row in told}),
        first_commit=min(times, default=None),
        last_commit=max(times, default=None),
        saved=saved,
    )


@step("rejoin as a standby", deadline_s=_REBUILD_S)
def rejoin(plan: Plan, incident: Incident, saved: Divergence | None = None) -> Return:
    """Let the old site follow the active one, rewinding where it must, and wait until every node does.

    Args:
        plan: the plan.
        incident: the incident whose old site rejoins.
        saved: what only the old site had, by now in safety. Without it a node that cannot be rewound stays
            as it is; with it Patroni makes such a node anew, from the site's own repository if that leads
            to the active site, else as a copy of another server.

    Raises:
        Permanent: a node does not follow within a minute and a half, or within half a day where one is made
            anew.
    """
    site = incident.failed_site
    if patroni.has_own_dcs(plan, site):
        _withdraw_timelines(plan, incident)
    labels = _labels(plan, site)
    if saved is not None:
        rebuild.allow(plan, site)
        _until(lambda: _all_heard(plan, site), _RETURN_S)
    patroni.follow(plan, site, incident.to_site)
    leader = until_streaming(plan, site, incident.to_site)
    _until(lambda: rebuild.forbid(plan, site), _RETURN_S)
    redis_master = redis_site.follow(plan, site, incident.to_site)
    return Return(
        site=site,
        standby_leader=leader,
        streaming_at=datetime.now(UTC),
        redis_master=redis_master,
        ways={host: rebuild.way_of(labels[host], label) for host, label in _labels(plan, site).items()},
    )


@task(name="see whether the site has returned", cache_policy=NO_CACHE)
def has_returned(plan: Plan, site: str) -> bool:
    """Whether every PostgreSQL node of a site streams already; unknown is not."""
    try:
        streaming(plan, site)
    except Transient:
        return False
    return True


def _furthest_node(plan: Plan, site: str, promotion: Promotion) -> tuple[str, list[waldump.Commit]]:
    """The old node that has most behind the fork, and that; every node of the site must be readable."""
    found = {
        host: _commits_behind(plan, site, host, promotion) for host in plan.sites[site].running("postgres")
    }
    furthest = max(found, key=lambda host: len(found[host]))
    return furthest, found[furthest]


def _commits_behind(plan: Plan, site: str, host: str, promotion: Promotion) -> list[waldump.Commit]:
    _refuse_a_second_primary(plan, str(plan.sites[site].hosts[host].address))
    return [
        commit
        for place in _branch(plan, site, host, promotion)
        if waldump.segments_from(plan, site, host, *place)
        for commit in waldump.commits_after(plan, site, host, *place)
    ]


def _branch(plan: Plan, site: str, host: str, promotion: Promotion) -> timelines.Branch:
    """Where the node went: on along the old timeline and, as a second primary, on timelines of its own."""
    old, fork = promotion.old_timeline, promotion.fork_lsn
    if not patroni.has_own_dcs(plan, site):
        return [(old, fork)]
    primary = _lineage(plan)
    return timelines.branch_of(timelines.histories(plan, site, host), old, fork, primary)


def _lineage(plan: Plan) -> timelines.Lineage:
    return timelines.lineage_of(plan, patroni.leader(plan, active_site(plan)).host)


def _withdraw_timelines(plan: Plan, incident: Incident) -> None:
    """Take the timelines that a second primary archived as its own out of its way; the journal keeps them."""
    site, primary = incident.failed_site, _lineage(plan)
    own = {
        number
        for host in plan.sites[site].running("postgres")
        for number in timelines.own_timelines(timelines.histories(plan, site, host), 0, primary)
    }
    for name, data in timelines.withdraw(plan, site, own).items():
        journal.write(plan, site, incident.id, f"diverged/{name}", data)


def _refuse_a_second_primary(plan: Plan, address: str) -> None:
    try:
        position = postgres.position(plan, address)
    except Transient:
        return  # a diverged node may never open; its files are read all the same
    if not position.in_recovery:
        raise Permanent(f"{address} is not a standby", "two primaries", "stop its PostgreSQL now")


def _save(
    plan: Plan, incident: Incident, promotion: Promotion, host: str, rows: list[rescue.SavedRow]
) -> tuple[str, ...]:
    lines = "\n".join(json.dumps(asdict(row)) for row in rows)
    journal.write(plan, incident.failed_site, incident.id, "diverged/rows.jsonl", lines)
    saved = [f"incidents/{incident.id}/diverged/rows.jsonl"]
    segments = [
        segment
        for place in _branch(plan, incident.failed_site, host, promotion)
        for segment in waldump.segments_from(plan, incident.failed_site, host, *place)
    ]
    for segment in segments:
        name = f"diverged/wal/{segment}"
        data = waldump.read_segment(plan, incident.failed_site, host, segment)
        journal.write(plan, incident.failed_site, incident.id, name, data)
        saved.append(f"incidents/{incident.id}/{name}")
    return tuple(saved)


def _told(plan: Plan, rows: list[rescue.SavedRow]) -> list[rescue.SavedRow]:
    """The rows that a client was told are kept; all of them where there is no ledger."""
    acknowledged = ledger.acknowledged(plan)
    if acknowledged is None:
        return rows
    return [row for row in rows if str(row.row.get("id")) in acknowledged]


def _labels(plan: Plan, site: str) -> dict[str, str]:
    return {host: rebuild.label_of(plan, site, host) for host in plan.sites[site].running("postgres")}


def _all_heard(plan: Plan, site: str) -> None:
    deaf = [host for host in plan.sites[site].running("postgres") if not rebuild.has_heard(plan, site, host)]
    if deaf:
        raise Transient(f"Patroni does not go by its configuration on {', '.join(deaf)}")


def _until(attempt: Callable[[], T], patience_s: float) -> T:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return attempt()
        except Transient as error:
            if time.monotonic() > deadline:
                raise Permanent(f"it did not happen within {patience_s:g} s", str(error)) from error
        time.sleep(_POLL_S)
