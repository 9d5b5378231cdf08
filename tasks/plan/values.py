"""The seed's way of writing values: durations, limits, percentages, lists, references."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, Strict
from pydantic_core import PydanticCustomError

_UNITS = {"year": 365 * 86400, "week": 7 * 86400, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
_DURATION = re.compile(r"([0-9]{1,9}) (second|minute|hour|day|week|year)s?")
_ZERO = re.compile(r"0 (second|minute|hour|day|week|year)s")
_LONGEST = timedelta(days=100 * 365)
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_LIMIT = " maximum"
_SIZES = {"GiB": 1024**3, "MiB": 1024**2}
_SIZE = re.compile(r"([1-9][0-9]{0,5}) (MiB|GiB)")


def refusal(wrong: str, allowed: str) -> PydanticCustomError:
    """The error of a value: what is wrong with it, and what is allowed there."""
    return PydanticCustomError("plan", "{wrong}; {allowed}", {"wrong": wrong, "allowed": allowed})


def matching(pattern: str, allowed: str) -> AfterValidator:
    """A validator of texts that says in words what is allowed; it never repeats the text."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise refusal("malformed", allowed)
        return value

    return AfterValidator(check)


def parse_duration(value: Any) -> timedelta:
    """Parse "30 seconds" or "4 hours"; a year has 365 days.

    Raises:
        PydanticCustomError: anything else, zero, negative and more than 100 years included.
    """
    if isinstance(value, timedelta) and timedelta(0) < value <= _LONGEST:
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) * _UNITS[match[2]] <= _LONGEST.total_seconds():
        raise refusal(
            f"{_shown(value)} is not a duration", "a positive duration such as '30 seconds' or '4 hours'"
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def parse_patience(value: Any) -> timedelta:
    """Parse a duration, or "0 seconds": not to wait at all.

    Raises:
        PydanticCustomError: anything else.
    """
    if value == timedelta(0) or (isinstance(value, str) and _ZERO.fullmatch(value)):
        return timedelta(0)
    return parse_duration(value)


def parse_limit(value: Any) -> timedelta:
    """Parse "4 hours maximum": the longest time that something may take.

    Raises:
        PydanticCustomError: anything else.
    """
    if isinstance(value, timedelta):
        return parse_duration(value)
    if not isinstance(value, str) or not value.endswith(_LIMIT):
        raise refusal(f"{_shown(value)} is not a limit", "a limit such as '4 hours maximum'")
    return parse_duration(value.removesuffix(_LIMIT))


def in_words(duration: timedelta) -> str:
    """Write a duration in the largest unit that divides it: "4 hours"."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0 and unit not in {"week", "year"})
    count = seconds // _UNITS[unit]
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def parse_percentage(value: Any) -> Decimal:
    """Parse "99.95%" into the exact ratio 0.9995.

    Raises:
        PydanticCustomError: anything else, or more than 100%.
    """
    if isinstance(value, Decimal) and 0 <= value <= 1:
        return value
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or Decimal(match[1]) > 100:
        raise refusal(f"{_shown(value)} is not a percentage", "from '0%' to '100%', such as '99.95%'")
    return Decimal(match[1]) / 100


def parse_size(value: Any) -> int:
    """Parse "256 MiB" into bytes.

    Raises:
        PydanticCustomError: anything else.
    """
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refusal(f"{_shown(value)} is not a size", "a size such as '256 MiB' or '4 GiB'")
    return int(match[1]) * _SIZES[match[2]]


def size_in_words(size: int) -> str:
    """Write bytes in the largest unit that divides them: "256 MiB"."""
    unit = next(unit for unit, each in _SIZES.items() if size % each == 0)
    return f"{size // _SIZES[unit]} {unit}"


def parse_names(value: Any) -> tuple[str, ...]:
    """Parse "infrastructure, application, business".

    Raises:
        PydanticCustomError: no text, or an empty or repeated name.
    """
    names = tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else ()
    if not all(names) or not names or len(set(names)) < len(names):
        raise refusal(f"{_shown(value)} is not a list of names", "different names, separated by commas")
    return names


def parse_day(value: Any) -> date:
    """Parse a day.

    Raises:
        PydanticCustomError: no day of the calendar.
    """
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise refusal("not a day", "a quoted day such as '2027-03-31'") from None


def parse_address(value: Any) -> IPv4Address:
    """Parse an IPv4 address that a host can have.

    Raises:
        PydanticCustomError: no text, no IPv4 address, an unspecified, multicast or reserved one.
    """
    try:
        address = IPv4Address(value if isinstance(value, IPv4Address) else str(value))
    except ValueError:
        address = IPv4Address(0)
    if isinstance(value, int) or address.is_unspecified or address.is_multicast or address.is_reserved:
        raise refusal(f"{_shown(value)} is not a host's address", "an IPv4 address such as '10.0.1.11'")
    return address


def template(fields: set[str], allowed: str) -> AfterValidator:
    """A validator of texts in which only these fields vary."""

    def check(value: str) -> str:
        try:
            found = {name for _, name, _, _ in Formatter().parse(value) if name is not None}
        except ValueError:
            found = {value}
        if not found <= fields:
            raise refusal("not a command template", f"a command in which only {allowed} vary")
        return value

    return AfterValidator(check)


def percent(ratio: Decimal) -> str:
    """Write a ratio as the plan does: "99.95%"."""
    return f"{(ratio * 100).normalize():f}%"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _when_json(write: Callable[[Any], str]) -> PlainSerializer:
    return PlainSerializer(write, return_type=str, when_used="json")


Duration = Annotated[timedelta, BeforeValidator(parse_duration), _when_json(in_words)]
Patience = Annotated[timedelta, BeforeValidator(parse_patience), _when_json(in_words)]
Limit = Annotated[timedelta, BeforeValidator(parse_limit), _when_json(lambda value: in_words(value) + _LIMIT)]
Percentage = Annotated[Decimal, BeforeValidator(parse_percentage), _when_json(percent)]
Size = Annotated[int, BeforeValidator(parse_size), _when_json(size_in_words)]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_names), _when_json(", ".join)]
Address = Annotated[IPv4Address, BeforeValidator(parse_address)]
Command = Annotated[str, template({"site", "host", "address"}, "{site}, {host} and {address}")]
ServiceCommand = Annotated[
    str,
    template({"service", "site", "host", "address"}, "{service}, {site}, {host} and {address}"),
]
SiteText = Annotated[str, template({"site"}, "{site}")]
HttpUrl = Annotated[str, matching(r"https?://\S+", "http://HOST:PORT or https://HOST:PORT")]
HttpsServer = Annotated[
    str, matching(r"https://[^\s/?#@]+", "https://HOST or https://HOST:PORT, nothing after it")
]
Flag = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Day = Annotated[date, BeforeValidator(parse_day), _when_json(date.isoformat)]
Port = Annotated[Integer, Field(ge=1, le=65535)]
Sentence = Annotated[str, matching(r"(?s).*\S.*", "a text that is not empty")]
Key = Annotated[
    str, matching(r"[a-z][a-z0-9_]{0,62}", "lower-case letters, digits and underscores, a letter first")
]
Name = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and hyphens, 63 characters at most"
    ),
]
SecretRef = Annotated[
    str,
    matching(
        r"file:\S+|env:[A-Za-z_][A-Za-z0-9_]*",
        "a reference, 'file:PATH' or 'env:NAME', never the secret itself",
    ),
]
