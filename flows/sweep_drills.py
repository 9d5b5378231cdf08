"""Remove what drills left that were killed. Source: the seed's "automatic rollback after testing"."""

from prefect import flow

from tasks.current import current_plan
from tasks.drill import sweep_leftovers


@flow(persist_result=False)
def sweep_drills() -> tuple[str, ...]:
    """End and remove the restored databases of every drill that is dead.

    Returns:
        what was removed.
    """
    return sweep_leftovers(current_plan())
