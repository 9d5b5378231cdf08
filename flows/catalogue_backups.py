"""Publish every recoverable point. Source: the seed's "Backup Strategies"."""

from prefect import flow

from tasks.catalogue import collect_catalogue, publish_catalogue
from tasks.current import current_plan


@flow(persist_result=False)
def catalogue_backups() -> None:
    """List every recoverable point of every asset at every site, and what is not covered.

    The run fails where something is critical or unknown; the table is shown all the same.
    """
    found = collect_catalogue(current_plan())
    publish_catalogue(found)
