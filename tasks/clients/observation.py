"""The active site's last observation, kept in etcd: what is known of a primary once its region is gone."""

from tasks.clients.truth import etcd_of
from tasks.plan.plan import Plan


def write_observation(plan: Plan, site: str, text: str) -> None:
    """Keep the newest observation of a site.

    Raises:
        Transient: etcd has no quorum.
    """
    etcd_of(plan).put(_key(plan, site), text)


def last_observation(plan: Plan, site: str) -> str | None:
    """The newest observation of a site; None if it was never seen.

    Raises:
        Transient: etcd has no quorum.
    """
    return etcd_of(plan).get(_key(plan, site)).value


def _key(plan: Plan, site: str) -> str:
    return f"/naas-dr/{plan.service.name}/observed/{site}"
