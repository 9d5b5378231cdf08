"""Proof that a site's old primary has become a standby: it says so itself, in Patroni and in PostgreSQL."""

from tasks.clients import patroni, postgres
from tasks.errors import DrError
from tasks.plan.plan import Plan


def demoted_node(plan: Plan, site: str) -> str | None:
    """The node that holds a site's leader key as a standby leader and refuses writes; None if there is none.

    Raises:
        Transient: etcd has no quorum, or no node of a site with a DCS of its own answers.
    """
    holder = patroni.lock_holder(plan, site)
    return holder if holder and _demoted(plan, site, holder) else None


def _demoted(plan: Plan, site: str, holder: str) -> bool:
    host = plan.sites[site].hosts.get(holder)
    if host is None or not patroni.standby_leads(plan, site, holder):
        return False
    try:
        return postgres.position(plan, str(host.address), timeout=1).in_recovery
    except DrError:
        return False
