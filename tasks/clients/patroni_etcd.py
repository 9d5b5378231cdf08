"""A Patroni scope's record in the plan's etcd, where consensus tells the truth about its leader.

Source: Patroni source, `patroni/dcs/etcd3.py`; manual, "Dynamic configuration settings".
"""

import json
from collections.abc import Callable
from typing import Any

from tasks.clients.layout import scope_of
from tasks.clients.truth import etcd_of
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

FENCE = "fenced by naas-dr"
"""What holds the leader key of a fenced scope; no host has such a name."""


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


def remove_fence(plan: Plan, site: str) -> None:
    """Take the fence from a scope's leader key; a node's own is left.

    Raises:
        Transient: etcd has no quorum.
    """
    etcd = etcd_of(plan)
    held = etcd.get(leader_key_path(plan, site))
    if held.value == FENCE:
        etcd.remove(leader_key_path(plan, site), held.revision)


def read_config(plan: Plan, site: str) -> dict[str, Any]:
    """A scope's dynamic configuration.

    Raises:
        Transient: etcd has no quorum.
        Permanent: the scope was never bootstrapped.
    """
    value = etcd_of(plan).get(_config_key(plan, site)).value
    if value is None:
        raise Permanent(f"{site} has no Patroni configuration in etcd", _config_key(plan, site))
    return dict(json.loads(value))


def edit_config(plan: Plan, site: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a scope's dynamic configuration, whether its nodes are there or not.

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
