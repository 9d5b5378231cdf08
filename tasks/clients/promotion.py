"""Whether a site may have been promoted. Its record decides: what was told to lead may do so later."""

from tasks.clients import patroni, postgres
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan


def may_be_promoted(plan: Plan, site: str) -> bool:
    """Whether a site takes writes, or will by itself because its record says no more that it is a standby.

    One that was never bootstrapped has nothing that could be promoted.

    Raises:
        Transient: it cannot be told: etcd has no quorum, or no node of a site with a DCS of its own answers.
    """
    try:
        config = patroni.read_config(plan, site)
    except Permanent:
        return False
    return not config.get("standby_cluster") or _takes_writes(plan, site)


def _takes_writes(plan: Plan, site: str) -> bool:
    try:
        return not postgres.position(plan, patroni.leader(plan, site).host).in_recovery
    except Transient:
        return False
