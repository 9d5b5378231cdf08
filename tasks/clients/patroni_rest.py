"""Patroni's REST API on a site's nodes: who is there, and the scope's dynamic configuration.

A node answers from the DCS that its cluster has, whatever that is. So of a site whose DCS is its own, this
is all that can be known and done.

Source: Patroni manual, "Patroni REST API", "Dynamic configuration settings"; source, `patroni/api.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

Config = dict[str, Any]
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_QUICK = httpx.Timeout(3.0, connect=1.0)


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
    _, told = _first_answer(plan, site, "cluster")
    return [_member(row) for row in told["members"]]


def members_at(address: str) -> list[Member]:
    """A site's nodes, asked of this one.

    Raises:
        Transient: it does not answer.
    """
    return [_member(row) for row in _answer_of(address, "cluster")["members"]]


def leader(plan: Plan, site: str) -> Member:
    """The node that leads a site's scope.

    Raises:
        Transient: there is none now.
    """
    for member in members(plan, site):
        if member.leads:
            return member
    raise Transient(f"{site} has no PostgreSQL leader now")


def standby_leads(plan: Plan, site: str, host: str) -> bool:
    """Whether a node, by its own word, leads a standby cluster: it has read that it is one."""
    address = plan.sites[site].hosts[host].address
    try:
        answer = request("GET", f"http://{address}:8008/standby-leader", timeout=_TIMEOUT)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def has_stopped(plan: Plan, site: str, host: str) -> bool:
    """Whether a node, by its own word, has stopped as a primary and will only start as a standby.

    Patroni says so from the end of its clean stop on, also while PostgreSQL is still down.
    """
    address = plan.sites[site].hosts[host].address
    try:
        # Of all its answers this one waits for no PostgreSQL; its status is not 200 while that is down.
        answer = request("GET", f"http://{address}:8008/standby-leader", timeout=_QUICK)
        return answer.json().get("role") in {"demoted", "standby_leader"}
    except (httpx.HTTPError, ValueError):
        return False


def own_word(address: str) -> tuple[str, Config]:
    """The role that a node says it has, and the scope's configuration as it reads it.

    Raises:
        Transient: it does not answer both.
    """
    return str(_answer_of(address, "patroni").get("role", "")), _answer_of(address, "config")


def read_config(plan: Plan, site: str) -> Config:
    """A scope's dynamic configuration, asked of the first node that answers.

    Raises:
        Transient: none answers.
    """
    return dict(_first_answer(plan, site, "config")[1])


def edit_config(plan: Plan, site: str, change: Callable[[Config], Config]) -> None:
    """Change a scope's dynamic configuration by the first node that answers, which wakes its loop.

    Raises:
        Transient: none answers, or the record changed under us.
        Permanent: it refused.
    """
    address, before = _first_answer(plan, site, "config")
    if patch := merge_patch(before, change(before)):
        patch_config(plan, site, address, patch)


def patch_config(plan: Plan, site: str, address: str, patch: Config) -> None:
    """Change a scope's dynamic configuration by one node; null removes a setting.

    Raises:
        Transient: the node does not answer, or the record changed under us.
        Permanent: it refused.
    """
    login = ("patroni", plan.secret("patroni_api"))
    try:
        answer = request("PATCH", f"http://{address}:8008/config", json=patch, auth=login, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise Transient(f"Patroni of {site} at {address} does not answer", str(error)) from error
    if answer.status_code == httpx.codes.CONFLICT:
        raise Transient(f"Patroni's configuration of {site} changed while it was edited")
    if answer.status_code != httpx.codes.OK:
        raise Permanent(f"Patroni of {site} refused", f"{answer.status_code} {answer.text[:300]}")


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Config:
    """What makes one configuration of another as Patroni merges it; empty where they are the same."""
    patch: Config = {name: None for name in before if name not in after}
    for name, value in after.items():
        held = before.get(name)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            if inner := merge_patch(held, value):
                patch[name] = inner
        elif held != value:
            patch[name] = value
    return patch


def _first_answer(plan: Plan, site: str, what: str) -> tuple[str, Any]:
    """The first node that answers, and what it says."""
    failures = []
    for address in plan.sites[site].addresses("postgres"):
        try:
            return address, _ask(address, what)
        except (httpx.HTTPError, ValueError) as error:
            failures.append(f"{address}: {type(error).__name__}")
    raise Transient(f"no Patroni node of {site} answers", "; ".join(failures))


def _answer_of(address: str, what: str) -> Any:
    try:
        return _ask(address, what, _QUICK)
    except (httpx.HTTPError, ValueError) as error:
        raise Transient(f"Patroni at {address} does not answer", type(error).__name__) from error


def _ask(address: str, what: str, timeout: httpx.Timeout = _TIMEOUT) -> Any:
    return request("GET", f"http://{address}:8008/{what}", timeout=timeout).raise_for_status().json()


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
