"""Hold every site's copies against each other. Source: the seed's "Cross-Region Backup Replication"."""

from prefect import flow

from tasks.compare import compare_sites, publish_damages
from tasks.current import current_plan
from tasks.facts.backups import Damage
from tasks.heal import heal as heal_damages
from tasks.policy.replication import repositories


@flow(persist_result=False)
def compare_backups(repository: str | None = None, heal: bool = False) -> list[Damage]:
    """Name every object that a site holds wrong or lacks.

    Args:
        repository: only this one: "pgbackrest", "restic" or "points".
        heal: copy the good ones over, where it is proven which are good, and compare again.

    Returns:
        the damages; the run fails where there is one left.
    """
    plan = current_plan()
    roots = [repository] if repository else list(repositories(plan.postgresql_ha.cluster_name))
    damages = [damage for root in roots for damage in compare_sites(plan, root)]
    if heal and damages:
        heal_damages(plan, damages)
        damages = [damage for root in roots for damage in compare_sites(plan, root)]
    publish_damages(damages)
    return damages
