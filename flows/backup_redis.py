"""Back Redis up. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.current import current_plan
from tasks.redis_backup import take_redis_backup, verify_redis_backup


@flow(persist_result=False)
def backup_redis() -> str:
    """Store a sealed snapshot of the active site's Redis, then load it in a scratch server and compare.

    In the mode "cluster" it is one of every shard, or none at all.

    Returns:
        the point's name.
    """
    plan = current_plan()
    point = take_redis_backup(plan)
    verify_redis_backup(plan, point)
    return point.stamp
