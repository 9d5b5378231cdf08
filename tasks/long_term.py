"""Set one full backup of each month apart, at the archive site, for the years that the plan says.

The month's folder holds a pgBackRest repository of its own, made by copies inside the archive's store out of
the archive's own copy, and locked object by object: `--repo1-path=/long-term/MONTH/pgbackrest` restores it.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks.apart import Contents, contents_of
from tasks.clients import longterm
from tasks.clients.longterm import LongTermPoint
from tasks.clients.vault import Vault
from tasks.plan.plan import Plan
from tasks.policy.long_term import folder_of, month_of
from tasks.progress import shown
from tasks.retry import retried


@retried("keep for the long term", times=4, delay=exponential_backoff(backoff_factor=2))
def keep_long_term(plan: Plan, now: datetime | None = None) -> LongTermPoint:
    """Set the month's full backup apart, with the newest sealed point of everything else; once a month.

    A run that broke off is gone on with: what is there already is not copied again.

    Args:
        plan: the plan.
        now: the moment that decides the month; the machine's clock where None.

    Raises:
        Transient: the store does not answer, or the backup expired meanwhile.
        Permanent: the archive has no full backup that is whole, or the store refuses.
    """
    moment = now or datetime.now(UTC)
    site = plan.site_of("archive")
    vault = Vault(plan, site)
    month = month_of(moment)
    done = longterm.read_point(vault.bucket, month)
    if done is not None:
        return done
    contents = contents_of(vault.bucket, plan, month)
    until = (moment + plan.protection.archive.retention).replace(microsecond=0)
    with shown(f"{folder_of(month)} at {site}") as told:
        vault.set_apart(contents.moves, until, _counted(contents, told))
    key, point = longterm.write_point(vault.bucket, contents.point(month, until))
    vault.lock(key, until)
    return point


@task(name="publish the long-term points", cache_policy=NO_CACHE)
def publish_long_term(plan: Plan) -> tuple[LongTermPoint, ...]:
    """Show every point that is set apart."""
    points = longterm.long_term_points(plan)
    head = "|month|backup|restores to|kept until|objects|bytes|\n|-|-|-|-|-|-|"
    rows = [
        f"|{p.month}|{p.label}|{p.at:%Y-%m-%d %H:%M:%S}|{p.until:%Y-%m-%d}|{p.objects}|{p.size}|"
        for p in points
    ]
    create_markdown_artifact(key="keep-long-term", markdown="\n".join([head, *rows]))
    return points


def _counted(contents: Contents, told: Callable[[float, float], None]) -> Callable[[int], None]:
    done, total = 0, sum(entry.size for entry, _ in contents.moves)

    def tell(size: int) -> None:
        nonlocal done
        done += size
        told(done, total)

    return tell
