"""Patroni: its REST API on a node, and a scope's record in etcd.

Source: Patroni manual, "Patroni REST API", "Standby cluster", "Dynamic configuration settings".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.clients.layout import scope_of, slot_of
from tasks.clients.truth import etcd_of
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

FENCE = "fenced by naas-dr"
"""What holds the leader key of a fenced scope; no host has such a name."""
REBUILD = "remove_data_directory_on_rewind_failure"
"""Patroni's leave to remove a node that cannot be rewound and make it anew; it knows of nothing to save."""
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_KEPT: dict[str, Any] = {"postgresql": {REBUILD: None}}


@dataclass(frozen=True)
class Member:
    """One node as its scope's cluster view tells it."""

    name: str
    host: str
    role: str
    state: str
    timeline: int | None
    lag: int | None

    @property
    def leads(self) -> bool:
        """Whether it leads its scope, as a primary or as a standby leader."""
        return self.role in {"leader", "standby_leader"}


def members(plan: Plan, site: str) -> list[Member]:
    """A site's nodes, asked of the first node that answers.

    Raises:
        Transient: none answers.
    """
    failures = []
    for address in plan.sites[site].addresses("postgres"):
        try:
            answer = request("GET", f"http://{address}:8008/cluster", timeout=_TIMEOUT)
            return [_member(row) for row in answer.raise_for_status().json()["members"]]
        except httpx.HTTPError as error:
            failures.append(f"{address}: {type(error).__name__}")
    raise Transient(f"no Patroni node of {site} answers", "; ".join(failures))


def leader(plan: Plan, site: str) -> Member:
    """The node that leads a site's scope.

    Raises:
        Transient: there is none now.
    """
    for member in members(plan, site):
        if member.leads:
            return member
    raise Transient(f"{site} has no PostgreSQL leader now")


def promote(plan: Plan, site: str) -> None:
    """Make a standby cluster a primary one, by its leader's REST API, which wakes its loop at once.

    Raises:
        Transient: the leader does not answer.
        Permanent: it refused.
    """
    _patch_config(plan, site, {"standby_cluster": None, **_KEPT})


def demote(plan: Plan, site: str, upstream: str) -> None:
    """Make a primary cluster a standby one of another site, by its leader's REST API, which wakes its loop.

    Its leader stops cleanly, which sends all of its WAL to the standbys that stream, and follows.

    Raises:
        Transient: the leader does not answer.
        Permanent: it refused.
    """
    _patch_config(plan, site, {"standby_cluster": _upstream(plan, site, upstream), **_KEPT})


def leader_key(plan: Plan, site: str) -> str | None:
    """The name that holds a scope's leader key in etcd; None once its lease is gone.

    Raises:
        Transient: etcd has no quorum.
    """
    return etcd_of(plan).get(leader_key_path(plan, site)).value


def seize_leader_key(plan: Plan, site: str) -> bool:
    """Put the fence where a scope's leader key was; its lease must be gone.

    Patroni reads etcd through the nearest member, which may be behind: a primary that comes back from a
    partition or a power loss can believe that it leads a scope that is no standby. It would write an
    expired key anew and promote itself; it does not overwrite a key that another holds.

    Returns:
        whether the fence holds the key.

    Raises:
        Transient: etcd has no quorum.
    """
    held = etcd_of(plan).get(leader_key_path(plan, site))
    return held.value == FENCE or (
        held.value is None and etcd_of(plan).swap(leader_key_path(plan, site), FENCE, held.revision)
    )


def standby_leads(plan: Plan, site: str, host: str) -> bool:
    """Whether a node, by its own word, leads a standby cluster: it has read that it is one."""
    address = plan.sites[site].hosts[host].address
    try:
        answer = request("GET", f"http://{address}:8008/standby-leader", timeout=_TIMEOUT)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def read_config(plan: Plan, site: str) -> dict[str, Any]:
    """A scope's dynamic configuration, from etcd.

    Raises:
        Transient: etcd has no quorum.
        Permanent: the scope was never bootstrapped.
    """
    value = etcd_of(plan).get(_config_key(plan, site)).value
    if value is None:
        raise Permanent(f"{site} has no Patroni configuration in etcd", _config_key(plan, site))
    return dict(json.loads(value))


def hold_as_standby(plan: Plan, site: str) -> None:
    """Write down that a site's scope is a standby cluster of nobody yet, where its nodes find it.

    A node that rewinds discards what only it has, so nothing may rewind until that is saved. Whom to follow
    is what every node reads from etcd in every round; forbidding `use_pg_rewind` instead came one round too
    late for a node that had been cut off, and was lost on one whose PostgreSQL was down. So they are told of
    a server that is not there, and of an archive that has nothing.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
    """
    nobody = {"host": "localhost", "port": 1, "restore_command": "false"}

    def held(config: dict[str, Any]) -> dict[str, Any]:
        # A site that follows already was brought back, and this run is a resumed one.
        whom = config.get("standby_cluster") or nobody
        return without_rebuild(config) | {"standby_cluster": whom}

    edit_config(plan, site, held)


def follow(plan: Plan, site: str, upstream: str) -> None:
    """Let a site's scope follow another site's, rewinding where it must, and take the fence away.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
    """
    upstream_nodes = _upstream(plan, site, upstream)
    edit_config(plan, site, lambda config: config | {"standby_cluster": upstream_nodes})
    _remove_fence(plan, site)


def release(plan: Plan, site: str) -> None:
    """Let a site's scope be a primary cluster again, as it was before it was held or demoted.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
    """

    def released(config: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in without_rebuild(config).items() if k != "standby_cluster"}

    edit_config(plan, site, released)
    _remove_fence(plan, site)


def without_rebuild(config: dict[str, Any]) -> dict[str, Any]:
    """A scope's configuration without the leave to remove what cannot be rewound."""
    if REBUILD not in (config.get("postgresql") or {}):
        return config
    return config | {"postgresql": {k: v for k, v in config["postgresql"].items() if k != REBUILD}}


def _remove_fence(plan: Plan, site: str) -> None:
    etcd = etcd_of(plan)
    held = etcd.get(leader_key_path(plan, site))
    if held.value == FENCE:
        etcd.remove(leader_key_path(plan, site), held.revision)


def _upstream(plan: Plan, site: str, upstream: str) -> dict[str, Any]:
    return {
        "host": ",".join(plan.sites[upstream].addresses("postgres")),
        "port": 5432,
        "primary_slot_name": slot_of(site),
        "create_replica_methods": ["pgbackrest", "basebackup"],
    }


def _patch_config(plan: Plan, site: str, patch: dict[str, Any]) -> None:
    node = leader(plan, site)
    url, login = f"http://{node.host}:8008/config", ("patroni", plan.secret("patroni_api"))
    try:
        answer = request("PATCH", url, json=patch, auth=login, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise Transient(f"the PostgreSQL leader of {site} does not answer", str(error)) from error
    if answer.status_code == httpx.codes.CONFLICT:
        raise Transient(f"Patroni's configuration of {site} changed while it was edited")
    if answer.status_code != httpx.codes.OK:
        raise Permanent(f"Patroni of {site} refused", f"{answer.status_code} {answer.text[:300]}")


def edit_config(plan: Plan, site: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a scope's dynamic configuration in etcd, where nobody else changed it meanwhile.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
        Permanent: the scope was never bootstrapped.
    """
    etcd = etcd_of(plan)
    entry = etcd.get(_config_key(plan, site))
    if entry.value is None:
        raise Permanent(f"{site} has no Patroni configuration in etcd", _config_key(plan, site))
    before = json.loads(entry.value)
    after = change(before)
    if after != before and not etcd.swap(_config_key(plan, site), json.dumps(after), entry.revision):
        raise Transient(f"Patroni's configuration of {site} changed while it was edited")


def leader_key_path(plan: Plan, site: str) -> str:
    """Where a site's leader key lies in etcd."""
    return f"/service/{scope_of(plan, site)}/leader"


def _config_key(plan: Plan, site: str) -> str:
    return f"/service/{scope_of(plan, site)}/config"


def _member(row: dict[str, Any]) -> Member:
    lag = row.get("lag")
    return Member(
        name=row["name"],
        host=row["host"],
        role=row["role"],
        state=row["state"],
        timeline=row.get("timeline"),
        lag=lag if isinstance(lag, int) else None,
    )
