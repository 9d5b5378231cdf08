"""Small records that outlive a region: written to several sites' stores at once, read from any.

One store must confirm a write, the others get a moment. Of what is read, the store nearest to the recovery is
believed first; one that does not answer is waited for once, and then left out for half a minute. Nothing here
overwrites a record of another name.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from tasks.clients.objects import Bucket, Entry, Missing
from tasks.clients.parallel import answered, ask_all, each_answer
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan

_ALL_S = 30.0
_WRITTEN_S = 0.5
_READ_S = 3.0
_SILENT_S = 30.0
_AT_ONCE, _REMEMBERED = 32, 10_000
T = TypeVar("T")
_silent_until: dict[str, float] = {}
_read_before: dict[tuple[str, str], str] = {}


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
    sites = survivors(plan, failed_site)
    jobs = {site: partial(_put, plan, site, key, content) for site in sites}
    grace = _WRITTEN_S if _answering(sites) == sites else 0.0
    # A store that is only slow has the record all the same, the last one of a process too.
    answers = dict(each_answer(jobs, _ALL_S, grace, finish=True))
    if grace:
        _remember_silent(jobs.keys() - answers.keys())
    failures = [str(answer) for answer in answers.values() if isinstance(answer, DrError)]
    if len(failures) == len(answers):
        raise Transient(f"no store takes the record {key}", "; ".join(failures) or "none answers")


def read(plan: Plan, key: str, failed_site: str = "") -> str | None:
    """One record, from the first store that has it; None where none has. A failed site is not asked.

    Raises:
        Transient: no store answers.
    """
    return next(iter(copies(plan, key, failed_site)), None)


def copies(plan: Plan, key: str, failed_site: str = "") -> list[str]:
    """One record as each store has it that answers and has it, the nearest to the recovery first.

    Raises:
        Transient: no store answers.
    """
    answers = _ask(plan, survivors(plan, failed_site), partial(_text, key))
    return [text for text in answers if text is not None]


def read_at(plan: Plan, site: str, key: str) -> str | None:
    """One record as one site's store has it; None where it has none.

    Raises:
        Transient: the store does not answer.
        Permanent: it refuses.
    """
    return _answer(plan, site, partial(_text, key))


def read_all(plan: Plan, folder: str, prefix: str = "") -> list[str]:
    """All records of a folder whose names begin with a prefix, in name order.

    Raises:
        Transient: no store answers.
    """
    found: dict[str, str] = {}
    for held in _ask(plan, survivors(plan), partial(_texts, f"{folder}/{prefix}")):
        found = held | found
    return [found[key] for key in sorted(found)]


def names(plan: Plan, folder: str, having: str = "") -> list[str]:
    """The first steps of the names below a folder, sorted; only those of names that end in `having`.

    Raises:
        Transient: no store answers.
    """
    found = {
        key.removeprefix(f"{folder}/").partition("/")[0]
        for held in _ask(plan, survivors(plan), lambda bucket: list(keys(bucket, folder)))
        for key in held
        if key.endswith(having)
    }
    return sorted(found)


def keys(bucket: Bucket, folder: str) -> Iterator[str]:
    """The keys below a folder of one bucket."""
    return (entry.key for entry in bucket.list(folder))


def _ask(plan: Plan, sites: list[str], question: Callable[[Bucket], T]) -> list[T]:
    """What those stores say that answer, in the order of the sites."""
    awake = _answering(sites)
    for asked in (sites,) if awake == sites else (awake, sites):
        jobs = {site: partial(_answer, plan, site, question) for site in asked}
        answers = dict(each_answer(jobs, _ALL_S, _READ_S))
        _remember_silent(jobs.keys() - answers.keys())
        told = [answers[site] for site in asked if site in answers]
        if good := [each for each in told if not isinstance(each, DrError)]:
            return good
    raise Transient("no store answers", "; ".join(map(str, told)))


def _answering(sites: list[str]) -> list[str]:
    """Those of the sites whose stores were not silent just now."""
    now = time.monotonic()
    return [site for site in sites if _silent_until.get(site, now) <= now]


def _remember_silent(sites: Iterable[str]) -> None:
    for site in sites:
        _silent_until[site] = time.monotonic() + _SILENT_S


def _answer(plan: Plan, site: str, question: Callable[[Bucket], T]) -> T:
    return question(Bucket.owned(plan, site))


def _put(plan: Plan, site: str, key: str, data: bytes) -> None:
    Bucket.owned(plan, site).put(key, data)


def _text(key: str, bucket: Bucket) -> str | None:
    try:
        return bucket.get(key).decode()
    except Missing:
        return None


def _texts(beginning: str, bucket: Bucket) -> dict[str, str]:
    """A long disaster leaves thousands of records: many are read at once, and each version once only."""
    there = [each for each in bucket.list(beginning.rpartition("/")[0]) if each.key.startswith(beginning)]
    known = {each.key: _read_before.get((each.key, each.etag)) for each in there}
    unread = iter([key for key, text in known.items() if text is None])
    found = {key: text for key, text in known.items() if text is not None}
    while some := list(islice(unread, _AT_ONCE)):
        for answer in ask_all({key: partial(bucket.read, key) for key in some}, _ALL_S).values():
            entry, data = answered(answer)
            found[entry.key] = data.decode()
            _remember_read(entry, found[entry.key])
    return found


def _remember_read(entry: Entry, text: str) -> None:
    if len(_read_before) >= _REMEMBERED:
        _read_before.clear()
    if entry.etag:
        _read_before[entry.key, entry.etag] = text
