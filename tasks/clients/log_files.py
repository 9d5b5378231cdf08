"""Following a folder of log files, a file a day, from a position that outlives the process."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_SUFFIX = ".jsonl"
# Nobody writes to the file of a day that is over, once a write that began in it has ended.
_SETTLED_S = 60.0
_LONGEST = 1 << 20


class Line(NamedTuple):
    """One line without its end; where it begins, and where the next one does, in bytes."""

    file: str
    offset: int
    content: bytes
    after: int


class Position(NamedTuple):
    """How far a file was read: of which file, should another one come to have its name, in bytes."""

    inode: int
    offset: int


@dataclass(frozen=True)
class Batch:
    """Some lines in order, and the positions after them.

    Attributes:
        lines: the lines.
        after: the positions once they are dealt with.
        begun_again: files that were cut or replaced, and are read from their beginning.
    """

    lines: tuple[Line, ...]
    after: Mapping[str, Position]
    begun_again: tuple[str, ...] = ()


class LogFiles:
    """The folder's files in the order of their days; no more than one batch is ever in memory."""

    def __init__(self, folder: Path, state: Path) -> None:
        """Take up where the state's file says.

        Args:
            folder: where the files are.
            state: the file of the positions; missing on the first start.
        """
        self._folder, self._state = folder, state
        known = json.loads(state.read_text()) if state.exists() else {}
        self._positions = {name: Position(*position) for name, position in known.items()}

    def batch(self, lines: int, size: int) -> Batch:
        """The next lines.

        Args:
            lines: how many at most.
            size: bytes after which there are no more; a line of more than 1 MiB comes in pieces.
        """
        after, found, begun_again = dict(self._positions), list[Line](), list[str]()
        files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        for path in files:
            status = path.stat()
            position = after.get(path.name, Position(status.st_ino, 0))
            if position.inode != status.st_ino or status.st_size < position.offset:
                begun_again.append(path.name)
                position = Position(status.st_ino, 0)
            over = path != files[-1] and time.time() - status.st_mtime > _SETTLED_S
            for line in _lines(path, position.offset, over):
                found.append(line)
                position = Position(status.st_ino, line.after)
                size -= len(line.content)
                if len(found) == lines or size <= 0:
                    break
            after[path.name] = position
            if len(found) == lines or size <= 0:
                break
        return Batch(tuple(found), after, tuple(begun_again))

    def commit(self, after: Mapping[str, Position]) -> None:
        """Remember positions, whole or not at all."""
        self._positions = {name: at for name, at in after.items() if (self._folder / name).exists()}
        partial = self._state.with_suffix(".partial")
        with partial.open("w", encoding="ascii") as file:
            json.dump(self._positions, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._state)

    def remove_shipped(self, older_s: float) -> None:
        """Remove the files of days that are over, once all of each was dealt with and it is so old."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}"))[:-1]:
            status, known = path.stat(), self._positions.get(path.name)
            old = time.time() - status.st_mtime > max(older_s, _SETTLED_S)
            if old and known == Position(status.st_ino, status.st_size):
                path.unlink()


def _lines(path: Path, offset: int, over: bool) -> Iterator[Line]:
    """The whole lines from an offset on; also the last, unfinished one of a day that is over."""
    with path.open("rb") as file:
        file.seek(offset)
        while content := file.readline(_LONGEST):
            if not content.endswith(b"\n") and len(content) < _LONGEST and not over:
                return
            yield Line(path.name, offset, content.removesuffix(b"\n"), offset + len(content))
            offset += len(content)
