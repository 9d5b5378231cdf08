"""The ledger of orders that their clients were told are kept; outside every database.

A JSON-lines file, one line an attempt, either of
    {"id", "sent_at", "acknowledged_at", "site"}   acknowledged by HTTP 201
    {"id", "sent_at", "failed_at", "error"}        anything else: it may be in the database, or not
with times in epoch seconds. A line counts once its newline is written.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.errors import Permanent


@dataclass(frozen=True)
class Acknowledged:
    """An order that was answered with 201; times in epoch seconds."""

    id: str
    sent_at: float
    acknowledged_at: float
    site: str


@dataclass(frozen=True)
class Unacknowledged:
    """An order whose outcome its client does not know; times in epoch seconds."""

    id: str
    sent_at: float
    failed_at: float
    error: str


Attempt = Acknowledged | Unacknowledged


@dataclass(frozen=True)
class Gap:
    """A time without acknowledgement, between two that were; epoch seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


@dataclass(frozen=True)
class Ledger:
    """What a ledger says: the acknowledged orders by id, and the ids of the others."""

    acknowledged: Mapping[str, Acknowledged]
    unacknowledged: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a ledger, also while it is being written.

        Raises:
            Permanent: a whole line is not an attempt: the file was changed by something else.
        """
        # What follows the last newline is torn, or about to be completed.
        lines = path.read_text(errors="replace").split("\n")[:-1]
        attempts = [_parse(path, number, line) for number, line in enumerate(lines, start=1)]
        return cls(
            {attempt.id: attempt for attempt in attempts if isinstance(attempt, Acknowledged)},
            frozenset(attempt.id for attempt in attempts if isinstance(attempt, Unacknowledged)),
        )

    def longest_gap(self) -> Gap | None:
        """The longest time between two acknowledgements; None with fewer than two."""
        times = sorted(entry.acknowledged_at for entry in self.acknowledged.values())
        gaps = (Gap(start, end) for start, end in pairwise(times))
        return max(gaps, key=lambda gap: gap.seconds, default=None)

    def first_acknowledged_after(self, t: float, site: str | None = None) -> Acknowledged | None:
        """The first order acknowledged after `t` (epoch seconds), by any site or the one given."""
        after = (
            entry
            for entry in self.acknowledged.values()
            if entry.acknowledged_at > t and site in (None, entry.site)
        )
        return min(after, key=lambda entry: entry.acknowledged_at, default=None)


def missing(acknowledged_ids: Iterable[str], present_ids: Iterable[str]) -> set[str]:
    """The acknowledged orders that a database does not have: the loss, as clients see it."""
    return set(acknowledged_ids) - set(present_ids)


class LedgerWriter:
    """Appends attempts; each line is handed to the kernel before the next is begun."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def append(self, attempt: Attempt) -> None:
        """Write one line."""
        self._file.write(json.dumps(asdict(attempt)) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _parse(path: Path, number: int, line: str) -> Attempt:
    try:
        fields = json.loads(line)
        return Acknowledged(**fields) if "acknowledged_at" in fields else Unacknowledged(**fields)
    except (ValueError, TypeError) as error:
        hint = "only the load generator writes a ledger"
        raise Permanent(f"line {number} of {path} is no attempt", str(error), hint) from error


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed writer left behind its last newline, or the next line would join it."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
