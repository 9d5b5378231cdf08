"""WAL positions and the names of WAL files, in PostgreSQL's and pgBackRest's spelling.

Source: PostgreSQL manual, "WAL Internals" and "Continuous Archiving"; pgBackRest user guide, "WAL archive".
"""

import re
from dataclasses import dataclass
from typing import Self

SEGMENT_SIZE = 16 * 1024 * 1024
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_ARCHIVED = re.compile(
    r"(?P<wal>[0-9A-F]{24})(?P<partial>\.partial)?-(?P<sha1>[0-9a-f]{40})(?P<suffix>\.(gz|lz4|zst|bz2))?"
)
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def parse_lsn(text: str) -> int:
    """The byte position that "16/B374D848" stands for.

    Raises:
        ValueError: it is not an LSN.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an LSN")
    return (int(match[1], 16) << 32) | int(match[2], 16)


def format_lsn(position: int) -> str:
    """A byte position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, order=True)
class Segment:
    """One WAL segment: a timeline, and its number counted from LSN 0/0."""

    timeline: int
    number: int

    @classmethod
    def parse(cls, name: str, size: int = SEGMENT_SIZE) -> Self:
        """The segment of a 24-digit file name; `size` is wal_segment_size in bytes.

        Raises:
            ValueError: it is not the name of a segment of that size.
        """
        match = _NAME.fullmatch(name)
        if match is None or int(match[3], 16) >= _per_log(size):
            raise ValueError(f"{name!r} is not a WAL segment of {size} bytes")
        timeline, log, low = (int(part, 16) for part in match.groups())
        return cls(timeline, log * _per_log(size) + low)

    @classmethod
    def holding(cls, timeline: int, lsn: int, size: int = SEGMENT_SIZE) -> Self:
        """The segment that holds the byte at an LSN."""
        return cls(timeline, lsn // size)

    def name(self, size: int = SEGMENT_SIZE) -> str:
        """Its file name."""
        log, low = divmod(self.number, _per_log(size))
        return f"{self.timeline:08X}{log:08X}{low:08X}"

    def end(self, size: int = SEGMENT_SIZE) -> int:
        """The first LSN after it."""
        return (self.number + 1) * size


@dataclass(frozen=True)
class ArchivedName:
    """What pgBackRest's name of an archived WAL file tells.

    Attributes:
        wal: the 24 digits of the segment.
        sha1: the segment's checksum.
        partial: whether it is the incomplete last segment of a timeline that was left.
        compressed: whether its size says little.
    """

    wal: str
    sha1: str
    partial: bool
    compressed: bool


def parse_archived(name: str) -> ArchivedName | None:
    """Read an object's last path segment; None for history files, backup labels and anything else."""
    match = _ARCHIVED.fullmatch(name)
    if match is None:
        return None
    return ArchivedName(match["wal"], match["sha1"], bool(match["partial"]), bool(match["suffix"]))


def history_timeline(name: str) -> int | None:
    """The timeline whose history a file is; None for any other file."""
    match = _HISTORY.match(name)
    return int(match[1], 16) if match else None


def history_name(timeline: int) -> str:
    """The file that tells where a timeline comes from."""
    return f"{timeline:08X}.history"


@dataclass(frozen=True)
class Switch:
    """A timeline's parent, and the LSN at which it was left."""

    parent: int
    lsn: int


def parse_history(text: str) -> tuple[Switch, ...]:
    """The ancestors that a .history file names, oldest first.

    Raises:
        ValueError: a line is neither empty, a comment, nor "TIMELINE<tab>LSN<tab>REASON".
    """
    lines = [line.split(None, 2) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if any(len(line) < 2 for line in lines):
        raise ValueError("a line of the history has no LSN")
    return tuple(Switch(int(line[0]), parse_lsn(line[1])) for line in lines)


def _per_log(size: int) -> int:
    """Segments in 4 GiB of WAL: what the last eight digits of a name count."""
    return 0x1_0000_0000 // size
