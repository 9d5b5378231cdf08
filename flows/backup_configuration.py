"""Back the configuration up. Source: the seed's "Backup Schedule and Retention": on every change."""

from prefect import flow

from flows.check_drift import check_drift
from tasks.configuration import (
    SERVERS,
    Backed,
    back_up_repository,
    back_up_servers,
    capture_servers,
    due_assets,
    publish_backups,
)
from tasks.current import current_plan


@flow(persist_result=False)
def backup_configuration(repository: str | None = None) -> list[Backed]:
    """Bundle the git repositories with their history, and store what the servers really run with.

    What has not changed gets no new point. The drift between plan and servers is a run of its own, which
    fails by itself.

    Args:
        repository: only this one; all of them and the servers where empty.

    Returns:
        the newest point of each; the run fails where something could not be stored.
    """
    plan = current_plan()
    names = due_assets(plan, repository)
    done = {name: back_up_repository(plan, name, return_state=True) for name in names if name != SERVERS}
    if SERVERS in names:
        done[SERVERS] = back_up_servers(plan, capture_servers(plan), return_state=True)
    if repository is None:
        check_drift(return_state=True)
    return publish_backups(done)
