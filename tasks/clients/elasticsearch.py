"""Elasticsearch's bulk API: documents are created, each under an id of its own, so none is there twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_CONFLICT, _TOO_LARGE, _TOO_MANY = 409, 413, 429
_FORBIDDEN = {401, 403}
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Cluster:
    """Where it is, and what lets one in; `authority` is PEM text, None for well-known ones."""

    url: str
    api_key: str = field(repr=False)
    authority: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Document:
    """One document, under its id, in its index."""

    index: str
    id: str
    source: str


@dataclass(frozen=True)
class Outcome:
    """What became of some documents.

    Attributes:
        kept: how many are there now.
        again: those that may be taken later.
        refused: those that never will be, each with Elasticsearch's reason.
    """

    kept: int = 0
    again: tuple[Document, ...] = ()
    refused: tuple[tuple[Document, str], ...] = ()

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.kept + other.kept, self.again + other.again, self.refused + other.refused)


def index_of(service: str, dataset: str, at: datetime, every: timedelta) -> str:
    """The index that a line belongs to, by its own moment: a line that is sent again always meets itself.

    The date is written as `index.lifecycle.parse_origination_date` reads it.

    Args:
        service: the plan's service.
        dataset: whose readers it is for.
        at: when it was written.
        every: how often a new index begins: an hour, a day, or a week, which begins on Monday.
    """
    if every > timedelta(days=1):
        at -= timedelta(days=at.weekday())
    hour = f"-{at:%H}" if every <= _HOUR else ""
    return f"{service}-logs-{dataset}-{at:%Y.%m.%d}{hour}"


def create_all(cluster: Cluster, documents: Sequence[Document]) -> Outcome:
    """Create documents; one that is there already is kept.

    Raises:
        Transient: it does not answer, is overloaded, or lets nobody in for now.
        Permanent: it does not know the API key, or forbids what it is for; no document is to blame.
    """
    try:
        answer = request(
            "POST",
            f"{cluster.url}/_bulk",
            timeout=_TIMEOUT,
            authority=cluster.authority,
            headers={"Authorization": f"ApiKey {cluster.api_key}", "Content-Type": "application/x-ndjson"},
            content=_body(documents),
        )
    except httpx.HTTPError as error:
        raise Transient(f"{cluster.url} does not answer", repr(error)) from error
    status, text = answer.status_code, answer.text[:500]
    if status == httpx.codes.OK:
        return _told(documents, answer)
    if status in {httpx.codes.BAD_REQUEST, _TOO_LARGE}:
        return _halved(cluster, documents, f"HTTP {status}: {text}")
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise Permanent(f"{cluster.url} lets nobody in", text, "check telemetry.logs.api_key")
    raise Transient(f"{cluster.url} takes nothing now", f"HTTP {status}: {text}")


def _body(documents: Sequence[Document]) -> bytes:
    lines = (
        f"{json.dumps({'create': {'_index': it.index, '_id': it.id}})}\n{it.source}\n" for it in documents
    )
    return "".join(lines).encode()


def _halved(cluster: Cluster, documents: Sequence[Document], why: str) -> Outcome:
    """Find those that the whole request was refused for."""
    if len(documents) == 1:
        return Outcome(refused=((documents[0], why),))
    middle = len(documents) // 2
    return create_all(cluster, documents[:middle]) + create_all(cluster, documents[middle:])


def _told(documents: Sequence[Document], answer: httpx.Response) -> Outcome:
    try:
        items = [item["create"] for item in answer.json()["items"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Transient("the bulk API's answer cannot be read", repr(error)) from error
    if len(items) != len(documents):
        raise Transient("the bulk API left documents out", f"{len(items)} of {len(documents)}")
    outcome = Outcome()
    for document, item in zip(documents, items, strict=True):
        outcome += _of_one(document, item)
    return outcome


def _of_one(document: Document, item: Mapping[str, Any]) -> Outcome:
    status = int(item["status"])
    if status < 300 or status == _CONFLICT:
        return Outcome(kept=1)
    # What is forbidden now (a key without rights to a new day's index, a blocked one) may be allowed later.
    if status in {_TOO_MANY, *_FORBIDDEN} or status >= 500:
        return Outcome(again=(document,))
    return Outcome(refused=((document, f"{status}: {json.dumps(item.get('error'))[:1000]}"),))
