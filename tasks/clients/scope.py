"""A Patroni scope's whole record in etcd: read, and begun anew for a database that was restored.

`patronictl remove` takes the configuration along, and a node that finds no `initialize` key bootstraps an
empty database. So the configuration stays, less the standby cluster, and the key names the restored system:
a node with that data directory may lead, and one without any waits for a leader to copy.

Source: Patroni source, `patroni/ha.py` (`_run_cycle`, `bootstrap`, `is_lagging`); manual, "patronictl".
"""

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from tasks.clients.etcd import Entry
from tasks.clients.layout import scope_of, slot_of
from tasks.clients.patroni import FENCE, has_own_dcs, read_config
from tasks.clients.truth import etcd_of
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.plan import Plan

_CONFIG, _INITIALIZE, _LEADER, _MEMBERS = "config", "initialize", "leader", "members/"
_TTL_S = 30  # Patroni's own default
_POLL_S = 0.5


def require_ours(plan: Plan, site: str) -> None:
    """Refuse a site whose DCS is its own: its scope cannot be begun anew from here.

    Raises:
        Refused: it is.
    """
    if has_own_dcs(plan, site):
        raise Refused(
            f"{site} has a DCS of its own: the record of its Patroni cluster cannot be begun anew from here",
            hint="`dr run restore-database` restores beside; `patronictl remove` its scope by hand",
        )


def record_of(plan: Plan, site: str) -> dict[str, str]:
    """Every key of a site's scope, by its name below the scope's.

    Raises:
        Transient: etcd has no quorum.
    """
    root = _root(plan, site)
    return {key.removeprefix(root): entry.value or "" for key, entry in etcd_of(plan).below(root).items()}


def require_only(plan: Plan, site: str, stopped: Collection[str]) -> None:
    """Make sure that no node of a scope runs but those that were stopped, whose keys may still be there.

    A node that runs renews its key; that of a dead one ends with its lease, which is waited for. A new
    leader of etcd renews every lease once.

    Args:
        plan: the plan.
        site: whose scope.
        stopped: the nodes that were stopped.

    Raises:
        Transient: etcd has no quorum.
        Permanent: the key of another node does not end.
    """
    began = time.monotonic()
    while running := _holders(record := record_of(plan, site)) - set(stopped):
        config = json.loads(record.get(_CONFIG) or "{}")
        if time.monotonic() - began > 2 * config.get("ttl", _TTL_S):
            raise Permanent(
                f"Patroni of {site} runs on a node that cannot be stopped from here",
                f"its key stays in etcd: {', '.join(sorted(running))}",
                "stop Patroni and PostgreSQL there, then resume the incident",
            )
        time.sleep(_POLL_S)


def begin_anew(plan: Plan, site: str, system: str, instead_of: str) -> None:
    """Let a site's scope belong to one database system, and forget who led it and how far that was.

    Nothing of the scope may run. Positions, votes and the timeline history that are left would keep a node
    that was restored to an earlier moment from leading.

    Args:
        plan: the plan.
        site: whose scope.
        system: the system identifier of the restored database.
        instead_of: the site that was active, whose configuration a site without any takes over.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
        Permanent: neither site was ever bootstrapped: there is no configuration.
    """
    etcd, root = etcd_of(plan), _root(plan, site)
    found = etcd.below(root)
    kept = found.pop(root + _CONFIG, Entry(None, 0))
    config = json.loads(kept.value) if kept.value else _configuration_of(plan, instead_of)
    alone = {name: value for name, value in config.items() if name != "standby_cluster"}
    done = bool(kept.value and alone == config) or etcd.swap(root + _CONFIG, json.dumps(alone), kept.revision)
    mark = found.pop(root + _INITIALIZE, None)
    # Before anything goes: a node that starts meanwhile must find whose scope it is.
    done = done and etcd.swap(root + _INITIALIZE, system, mark.revision if mark else 0)
    # Members' own keys end by themselves; a removal that comes too late for one is no harm.
    for key, entry in found.items():
        etcd.remove(key, entry.revision)
    if not done:
        raise Transient(f"Patroni's record of {site} changed while it was begun anew")


def _holders(record: Mapping[str, str]) -> set[str]:
    """The nodes that hold a member's key, or the leader's."""
    members = {name.removeprefix(_MEMBERS) for name in record if name.startswith(_MEMBERS)}
    return (members | {record.get(_LEADER, "")}) - {"", FENCE}


def _configuration_of(plan: Plan, site: str) -> dict[str, Any]:
    """Another site's configuration, with a slot for that site in place of its own."""
    return read_config(plan, site) | {"slots": {slot_of(site): {"type": "physical"}}}


def _root(plan: Plan, site: str) -> str:
    return f"/service/{scope_of(plan, site)}/"
