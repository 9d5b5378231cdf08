"""Small records that outlive a region: written to several sites' stores at once, read from any.

One store must confirm a write, the others get a moment. Nothing here overwrites a record of another name.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from tasks.clients.objects import Bucket, Missing
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan

_PATIENCE_S = 0.5
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="records")


def survivors(plan: Plan, failed_site: str = "") -> list[str]:
    """The sites to write to and to read from, nearest to the recovery first."""
    order: list[str] = [plan.site_of("dr"), plan.site_of("archive"), plan.site_of("primary")]
    return [site for site in order if site != failed_site]


def write(plan: Plan, key: str, data: str | bytes, failed_site: str = "") -> None:
    """Write one record to the stores of all sites but the failed one.

    Raises:
        Transient: no store took it.
    """
    content = data.encode() if isinstance(data, str) else data
    futures = [_pool.submit(_put, plan, site, key, content) for site in survivors(plan, failed_site)]
    failures = _first_success(futures)
    wait(futures, timeout=_PATIENCE_S)
    if len(failures) == len(futures):
        raise Transient(f"no store takes the record {key}", "; ".join(failures))


def read(plan: Plan, key: str, failed_site: str = "") -> str | None:
    """One record, from the first store that has it; None where none has. A failed site is not asked.

    Raises:
        Transient: no store answers.
    """
    failures, asked = [], survivors(plan, failed_site)
    for site in asked:
        try:
            return Bucket.owned(plan, site).get(key).decode()
        except Missing:
            continue
        except Transient as error:
            failures.append(str(error))
    if len(failures) == len(asked):
        raise Transient("no store answers", "; ".join(failures))
    return None


def read_all(plan: Plan, folder: str, prefix: str = "") -> list[str]:
    """All records of a folder whose names begin with a prefix, in name order.

    Raises:
        Transient: no store answers.
    """
    found: dict[str, str] = {}
    for site in _answering(plan, folder):
        bucket = Bucket.owned(plan, site)
        for key in keys(bucket, folder):
            if key not in found and key.startswith(f"{folder}/{prefix}"):
                found[key] = bucket.get(key).decode()
    return [found[key] for key in sorted(found)]


def names(plan: Plan, folder: str, having: str = "") -> list[str]:
    """The first steps of the names below a folder, sorted; only those of names that end in `having`.

    Raises:
        Transient: no store answers.
    """
    found = {
        key.removeprefix(f"{folder}/").partition("/")[0]
        for site in _answering(plan, folder)
        for key in keys(Bucket.owned(plan, site), folder)
        if key.endswith(having)
    }
    return sorted(found)


def keys(bucket: Bucket, folder: str) -> Iterator[str]:
    """The keys below a folder of one bucket."""
    return (entry.key for entry in bucket.list(folder))


def _answering(plan: Plan, folder: str) -> Sequence[str]:
    sites = []
    for site in survivors(plan):
        with suppress(Transient):
            Bucket.owned(plan, site).children(folder)
            sites.append(site)
    if not sites:
        raise Transient("no store answers")
    return sites


def _put(plan: Plan, site: str, key: str, data: bytes) -> None:
    Bucket.owned(plan, site).put(key, data)


def _first_success(futures: list[Future[None]]) -> list[str]:
    failures: list[str] = []
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            error = future.exception()
            if error is None:
                return failures
            if not isinstance(error, DrError):
                raise error
            failures.append(str(error))
    return failures
