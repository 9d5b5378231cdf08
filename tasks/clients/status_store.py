"""The public status page in the sites' stores: read from all, written to all, never seen half.

Each object is replaced whole. status.json is the state that the others are drawn from: it is replaced only as
the version that was read (If-Match), before the others, and looked at again after them. So two publishers at
once take nothing away from each other, and what the last of them leaves is drawn from all that both said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tasks.clients.objects import Bucket, Missing
from tasks.clients.parallel import ask_all
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan

STATE, FEED, PAGE = "status.json", "feed.atom", "index.html"
_READ_S, _WRITTEN_S = 6.0, 20.0
_ROUNDS = 12
_CACHED = "public, max-age=30"


@dataclass(frozen=True)
class Document:
    """One object of the page."""

    name: str
    content: bytes
    media_type: str

    @property
    def headers(self) -> Mapping[str, str]:
        """What a reader's browser is told of it."""
        return {"Content-Type": self.media_type, "Cache-Control": _CACHED}


Draw = Callable[[bytes | None], Sequence[Document]]
"""The documents, status.json first, from the status.json that a store has; None where it has none."""


def surviving(plan: Plan, failed_site: str | None) -> list[str]:
    """The sites that the page is published to."""
    return [name for name, site in plan.sites.items() if site.storage.status_bucket and name != failed_site]


def url_of(plan: Plan, site: str) -> str:
    """Where the page lies in a site's store."""
    storage = plan.sites[site].storage
    return f"{storage.endpoint}/{storage.status_bucket}/{PAGE}"


def read_all(plan: Plan, sites: Sequence[str]) -> dict[str, bytes | DrError | None]:
    """status.json as each of these sites' stores has it; None where it has none yet."""
    return ask_all({site: partial(_state_at, plan, site) for site in sites}, _READ_S)


def write_all(plan: Plan, draws: Mapping[str, Draw]) -> dict[str, DrError | None]:
    """Bring every site's store to what is drawn from the state that it has; None where it is."""
    return ask_all({site: partial(_bring, plan, site, draw) for site, draw in draws.items()}, _WRITTEN_S)


def _state_at(plan: Plan, site: str) -> bytes | None:
    return _read(Bucket.public(plan, site), STATE)[1]


def _bring(plan: Plan, site: str, draw: Draw) -> None:
    bucket = Bucket.public(plan, site)
    for _ in range(_ROUNDS):
        version, held = _read(bucket, STATE)
        wanted, *others = draw(held)
        if held != wanted.content and not bucket.replace(STATE, wanted.content, version, wanted.headers):
            continue
        for document in others:
            if _read(bucket, document.name)[1] != document.content:
                bucket.put(document.name, document.content, document.headers)
        if _read(bucket, STATE)[1] == wanted.content:
            return
    raise Transient(f"the status page of {site} changes all the time", f"{_ROUNDS} rounds")


def _read(bucket: Bucket, name: str) -> tuple[str | None, bytes | None]:
    """An object's version and content."""
    try:
        entry, content = bucket.read(name)
    except Missing:
        return None, None
    return entry.etag, content
