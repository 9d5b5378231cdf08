"""Seal the secrets and certificates. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.current import current_plan
from tasks.secrets_backup import backup_secret, chosen_assets, conclude


@flow(persist_result=False)
def backup_secrets(asset: str | None = None) -> dict[str, str]:
    """Seal every secret to the recovery recipients, store it, and open it again with the escrowed key.

    Args:
        asset: only this one, such as "secrets/plan"; all where empty.

    Returns:
        the name of each asset's point; the run fails where one failed, after the others.
    """
    plan = current_plan()
    chosen = chosen_assets(plan, asset)
    return conclude({name: backup_secret(plan, name, return_state=True) for name in chosen})
