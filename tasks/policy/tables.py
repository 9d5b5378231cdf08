"""Tables and quantities in words. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_STEP = 1024


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a cell's own bars and line ends cannot break it."""
    lines = [head, ["-" for _ in head], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def span(duration: timedelta) -> str:
    """A duration in its two largest units: "1 d 2 h"."""
    left = round(abs(duration.total_seconds()))
    parts: list[str] = []
    for unit, size in _UNITS:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def moment(at: datetime | None) -> str:
    """A moment to the second, in UTC; empty for none."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def size(count: int) -> str:
    """A number of bytes: "1.5 MiB"."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _STEP:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _STEP
    return f"{amount:.1f} TiB"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").splitlines())
