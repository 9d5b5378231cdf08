"""Patroni: what a site's cluster is told to be, whether its DCS is the plan's etcd or one of its own.

Source: Patroni manual, "Patroni REST API", "Standby cluster", "Dynamic configuration settings".
"""

from collections.abc import Callable
from typing import Any, Protocol

from tasks.clients import patroni_etcd, patroni_rest
from tasks.clients.layout import slot_of
from tasks.clients.patroni_etcd import FENCE, leader_key, leader_key_path, seize_leader_key
from tasks.clients.patroni_rest import Member, has_stopped, leader, members, standby_leads
from tasks.plan.plan import Plan

__all__ = [
    "FENCE",
    "REBUILD",
    "Member",
    "demote",
    "edit_config",
    "follow",
    "has_own_dcs",
    "has_stopped",
    "hold_as_standby",
    "leader",
    "leader_key",
    "leader_key_path",
    "lock_holder",
    "members",
    "promote",
    "read_config",
    "release",
    "seize_leader_key",
    "standby_leads",
    "without_rebuild",
]

REBUILD = "remove_data_directory_on_rewind_failure"
"""Patroni's leave to remove a node that cannot be rewound and make it anew; it knows of nothing to save."""
_KEPT: dict[str, Any] = {"postgresql": {REBUILD: None}}
# A server that is not there, and an archive that has nothing.
_NOBODY = {"host": "localhost", "port": 1, "restore_command": "false"}


class _Record(Protocol):
    def read_config(self, plan: Plan, site: str) -> dict[str, Any]:
        """A scope's dynamic configuration."""

    def edit_config(self, plan: Plan, site: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change it, unless it changed under us."""


def has_own_dcs(plan: Plan, site: str) -> bool:
    """Whether a site's cluster has a DCS of its own: it is reached by the REST API of its nodes alone."""
    return plan.sites[site].dcs == "own"


def promote(plan: Plan, site: str, address: str | None = None) -> None:
    """Make a standby cluster a primary one, by its leader's REST API, which wakes its loop at once.

    Args:
        plan: the plan.
        site: whose cluster.
        address: its leader, where that is known already.

    Raises:
        Transient: the leader does not answer.
        Permanent: it refused.
    """
    patch = {"standby_cluster": None, **_KEPT}
    patroni_rest.patch_config(plan, site, address or leader(plan, site).host, patch)


def wake(plan: Plan, site: str, address: str) -> None:
    """Have a node of a primary cluster look around now, not when its `loop_wait` is over; nothing is changed.

    Source: Patroni source, `patroni/api.py` (`do_PATCH_config`).

    Raises:
        Transient: the node does not answer.
        Permanent: it refused.
    """
    patroni_rest.patch_config(plan, site, address, {"standby_cluster": None})


def demote(plan: Plan, site: str, upstream: str) -> None:
    """Make a primary cluster a standby one of another site, by its leader's REST API, which wakes its loop.

    Its leader stops cleanly, which sends all of its WAL to the standbys that stream, and follows.

    Raises:
        Transient: the leader does not answer.
        Permanent: it refused.
    """
    patch = {"standby_cluster": _upstream(plan, site, upstream), **_KEPT}
    patroni_rest.patch_config(plan, site, leader(plan, site).host, patch)


def read_config(plan: Plan, site: str) -> dict[str, Any]:
    """A scope's dynamic configuration.

    Raises:
        Transient: etcd has no quorum, or no node of a site with a DCS of its own answers.
        Permanent: the scope was never bootstrapped.
    """
    return _record(plan, site).read_config(plan, site)


def hold_as_standby(plan: Plan, site: str) -> None:
    """Write down that a site's scope is a standby cluster of nobody yet, where its nodes find it.

    A node that rewinds discards what only it has, so nothing may rewind until that is saved. Whom to follow
    is what every node reads from its DCS in every round; forbidding `use_pg_rewind` instead came one round
    too late for a node that had been cut off, and was lost on one whose PostgreSQL was down. So they are told
    of a server that is not there, and of an archive that has nothing.

    Raises:
        Transient: see `read_config`; or the record changed under us.
    """

    def held(config: dict[str, Any]) -> dict[str, Any]:
        # A site that follows already was brought back, and this run is a resumed one.
        whom = config.get("standby_cluster") or _NOBODY
        return without_rebuild(config) | {"standby_cluster": whom}

    edit_config(plan, site, held)


def follow(plan: Plan, site: str, upstream: str) -> None:
    """Let a site's scope follow another site's, rewinding where it must, and take the fence away.

    Raises:
        Transient: see `read_config`; or the record changed under us.
    """
    upstream_nodes = _upstream(plan, site, upstream)
    edit_config(plan, site, lambda config: config | {"standby_cluster": upstream_nodes})
    _remove_fence(plan, site)


def release(plan: Plan, site: str) -> None:
    """Let a site's scope be a primary cluster again, as it was before it was held or demoted.

    Raises:
        Transient: see `read_config`; or the record changed under us.
    """

    def released(config: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in without_rebuild(config).items() if k != "standby_cluster"}

    edit_config(plan, site, released)
    _remove_fence(plan, site)


def edit_config(plan: Plan, site: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a scope's dynamic configuration, where nobody else changed it meanwhile.

    Raises:
        Transient: it changed under us; etcd has no quorum, or no node of a site with its own DCS answers.
        Permanent: the scope was never bootstrapped.
    """
    _record(plan, site).edit_config(plan, site, change)


def without_rebuild(config: dict[str, Any]) -> dict[str, Any]:
    """A scope's configuration without the leave to remove what cannot be rewound."""
    if REBUILD not in (config.get("postgresql") or {}):
        return config
    return config | {"postgresql": {k: v for k, v in config["postgresql"].items() if k != REBUILD}}


def lock_holder(plan: Plan, site: str) -> str | None:
    """The name that holds a scope's leader key, as its DCS has it; None where nobody does.

    Raises:
        Transient: etcd has no quorum, or no node of a site with a DCS of its own answers.
    """
    if not has_own_dcs(plan, site):
        return leader_key(plan, site)
    return next((member.name for member in members(plan, site) if member.leads), None)


def _record(plan: Plan, site: str) -> _Record:
    """What reads and writes a scope's configuration: etcd itself, or the site's nodes."""
    return patroni_rest if has_own_dcs(plan, site) else patroni_etcd


def _remove_fence(plan: Plan, site: str) -> None:
    if not has_own_dcs(plan, site):
        patroni_etcd.remove_fence(plan, site)


def _upstream(plan: Plan, site: str, upstream: str) -> dict[str, Any]:
    return {
        "host": ",".join(plan.sites[upstream].addresses("postgres")),
        "port": 5432,
        "primary_slot_name": slot_of(site),
        "create_replica_methods": ["pgbackrest", "basebackup"],
    }
