"""Back the files up. Source: the seed's "Backup Schedule and Retention"."""

from prefect import State, flow

from tasks.clients.restic import Snapshot
from tasks.current import current_plan
from tasks.facts.backups import Verified
from tasks.files import chosen_assets, publish_snapshots, spot_check, take_snapshot


@flow(persist_result=False)
def backup_files(asset: str | None = None) -> list[Verified]:
    """Take a snapshot of every file asset into the active site's repository and compare it with its source.

    Args:
        asset: only this one, "files/NAME" or NAME.

    Returns:
        what was compared; the run fails where an asset's backup failed, after the others were done.
    """
    plan = current_plan()
    done: dict[str, State[Snapshot] | State[Verified]] = {}
    for name in chosen_assets(plan, asset):
        taken = take_snapshot(plan, name, return_state=True)
        if taken.is_completed():
            done[name] = spot_check(plan, name, taken.result(), return_state=True)
        else:
            done[name] = taken
    return publish_snapshots(done)
