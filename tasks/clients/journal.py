"""The incident journal: records in the surviving sites' stores, under the incident's id.

A record is written to every surviving store at once; one must confirm, the others get a moment. Any of
them can be read. Nothing here overwrites a record of another name.
"""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from tasks.clients.objects import Bucket, Missing
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan

_PREFIX = "incidents"
_PATIENCE_S = 0.5
_pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="journal")


def write(plan: Plan, failed_site: str, incident: str, name: str, data: str | bytes) -> None:
    """Write one record to the stores of all sites but the failed one.

    Raises:
        Transient: no store took it.
    """
    key = f"{_PREFIX}/{incident}/{name}"
    futures = [_pool.submit(_put, plan, site, key, data) for site in _survivors(plan, failed_site)]
    failures = _first_success(futures)
    wait(futures, timeout=_PATIENCE_S)
    if len(failures) == len(futures):
        raise Transient("no store takes the incident's journal", "; ".join(failures))


def read(plan: Plan, incident: str, name: str) -> str | None:
    """One record, from the first store that has it.

    Raises:
        Transient: no store answers.
    """
    failures = []
    for site in _survivors(plan, ""):
        try:
            return Bucket.owned(plan, site).get(f"{_PREFIX}/{incident}/{name}").decode()
        except Missing:
            continue
        except Transient as error:
            failures.append(str(error))
    if len(failures) == len(plan.sites):
        raise Transient("no store answers", "; ".join(failures))
    return None


def read_all(plan: Plan, incident: str, prefix: str) -> list[str]:
    """All records whose names begin with a prefix, in name order.

    Raises:
        Transient: no store answers.
    """
    found: dict[str, str] = {}
    answered = False
    for site in _survivors(plan, ""):
        with suppress(Transient):
            bucket = Bucket.owned(plan, site)
            for key in _keys(bucket, f"{_PREFIX}/{incident}/{prefix}"):
                if key not in found:
                    found[key] = bucket.get(key).decode()
            answered = True
    if not answered:
        raise Transient("no store has the incident's journal", incident)
    return [found[key] for key in sorted(found)]


def incidents(plan: Plan) -> list[str]:
    """The ids of all incidents on record, oldest first.

    Raises:
        Transient: no store answers.
    """
    ids: set[str] = set()
    answered = False
    for site in _survivors(plan, ""):
        with suppress(Transient):
            ids |= {key.split("/")[1] for key in _keys(Bucket.owned(plan, site), f"{_PREFIX}/")}
            answered = True
    if not answered:
        raise Transient("no store answers")
    return sorted(ids)


def _survivors(plan: Plan, failed_site: str) -> list[str]:
    order: list[str] = [plan.site_of("dr"), plan.site_of("archive"), plan.site_of("primary")]
    return [site for site in order if site != failed_site]


def _put(plan: Plan, site: str, key: str, data: str | bytes) -> None:
    Bucket.owned(plan, site).put(key, data.encode() if isinstance(data, str) else data)


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


def _keys(bucket: Bucket, prefix: str) -> Iterator[str]:
    return (entry.key for entry in bucket.list(prefix))
