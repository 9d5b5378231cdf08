"""Who has asked to be told by mail or SMS: a CSV that is read row by row, however long it is.

The columns are channel (email or sms), address, language and timezone; the last two may be empty.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import available_timezones

from tasks.errors import Permanent
from tasks.plan.crisis import OWN_LANGUAGE, PersonalChannel
from tasks.plan.plan import Plan
from tasks.plan.references import path_of

_COLUMNS = ["channel", "address", "language", "timezone"]
_UTC = "UTC"


@dataclass(frozen=True)
class Subscriber:
    """One of them; who has no language or no known time zone reads English and UTC."""

    channel: str
    address: str
    language: str
    zone: str


def subscribers(plan: Plan, reference: str, channel: PersonalChannel) -> Iterator[Subscriber]:
    """Everybody who is told through a channel, each address once.

    Raises:
        Permanent: the file cannot be read, or is not such a CSV.
    """
    zones, seen = available_timezones(), set[int]()
    for row in _rows(plan, reference):
        # Sixty-four bits of each, not the addresses: the list may be long.
        if row["channel"] != channel or hash(row["address"]) in seen:
            continue
        seen.add(hash(row["address"]))
        zone = row["timezone"] if row["timezone"] in zones else _UTC
        yield Subscriber(channel, row["address"], row["language"] or OWN_LANGUAGE, zone)


def _rows(plan: Plan, reference: str) -> Iterator[dict[str, str]]:
    try:
        with path_of(plan.folder, reference).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if rows.fieldnames != _COLUMNS:
                raise Permanent(
                    f"{reference} is no list of subscribers", hint=f"columns: {', '.join(_COLUMNS)}"
                )
            for row in rows:
                yield {name: (row.get(name) or "").strip() for name in _COLUMNS}
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise Permanent(f"{reference} cannot be read", type(error).__name__) from None
