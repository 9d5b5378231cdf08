"""Compare what the sites hold of each repository, object by object, in the memory of a page each."""

from collections.abc import Iterator, Mapping, Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients.objects import Bucket
from tasks.clients.telemetry.threads import Threads
from tasks.errors import Permanent
from tasks.facts.backups import Damage
from tasks.looking import Look, buckets_of, frame_of
from tasks.plan.plan import Plan
from tasks.policy.comparison import Frame, Seen, asset_of, missing_sites, wrong_sites
from tasks.policy.replication import Repository, repositories
from tasks.retry import retried

# A repository that a site lost whole is named by its first objects.
_MOST = 2000
_THREADS = 8
# What restic tidies away at each site on its own; its own check knows what is missing of it.
_TIDIED = ("restic/index", "restic/data", "restic/keys")


@retried("compare the sites", run_name="compare the sites' {root}")
def compare_sites(plan: Plan, root: str) -> tuple[Damage, ...]:
    """Name every object of a repository that a site holds wrong, or lacks although it should have it.

    One listing of each site; only objects that differ are looked at. What is younger than two replications,
    and what is past its retention, may differ.

    Raises:
        Transient: a store does not answer: unknown is not healthy.
        Permanent: a store refuses.
    """
    of = repositories(plan.postgresql_ha.cluster_name)[root]
    return compare_buckets(buckets_of(plan), of, frame_of(plan), plan.secret("repository_cipher"))


def compare_buckets(
    buckets: Mapping[str, Bucket], of: Repository, frame: Frame, cipher: str = ""
) -> tuple[Damage, ...]:
    """Compare one repository in several buckets; see `compare_sites`."""
    look = Look(buckets, of, frame, cipher)
    found: list[Damage] = []

    def judge(seen: Seen) -> list[Damage]:
        whole = look.closer(seen)
        return _damages(whole, frame) if whole else []

    with Threads(_THREADS) as pool:
        for batch in _batches(look.suspicious()):
            for damages in pool.map(judge, batch):
                found += damages
            if len(found) >= _MOST:
                break
    return tuple(found)


@task(name="publish the damages", cache_policy=NO_CACHE)
def publish_damages(damages: Sequence[Damage]) -> None:
    """Show every damage, and fail the run where there is one.

    Raises:
        Permanent: the sites do not hold the same.
    """
    rows = [f"|{each.site}|{each.asset}|{each.name}|{each.what}|" for each in damages]
    head = "|site|asset|object|what|\n|-|-|-|-|"
    create_markdown_artifact(key="compare-backups", markdown="\n".join([head, *rows]))
    if damages:
        told = "; ".join(f"{each.site}: {each.name}: {each.what}" for each in damages[:5])
        hint = "`dr run compare_backups --param heal=true` copies the good ones over"
        raise Permanent(f"{len(damages)} objects are not the same at every site", told, hint)


def _damages(seen: Seen, frame: Frame) -> list[Damage]:
    found = wrong_sites(seen, frame)
    if not seen.key.startswith(_TIDIED):
        found |= missing_sites(seen, frame)
    return [Damage(asset_of(seen.key), site, seen.key, what) for site, what in found.items()]


def _batches(seen: Iterator[Seen], size: int = 64) -> Iterator[list[Seen]]:
    batch: list[Seen] = []
    for each in seen:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch
