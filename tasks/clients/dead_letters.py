"""What nobody takes, kept in a file until somebody looks: each document once, with the reason."""

import json
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

# A process that was killed repeats its last batch at most.
_REPEATED = 1000


class DeadLetters:
    """A file of JSON lines: the document's id, the reason, and the text itself."""

    def __init__(self, path: Path) -> None:
        """Count what is there.

        Args:
            path: the file; made where it is missing.
        """
        self.count = 0
        self._path = path
        self._last: deque[str] = deque(maxlen=_REPEATED)
        path.touch(mode=0o640)  # they hold whole lines, whoever may read those
        with path.open("rb") as file:
            for line in file:
                self._remember(line)

    def keep(self, letters: Sequence[tuple[str, str, str]]) -> None:
        """Keep some of (id, reason, text), for good once this returns."""
        fresh = [letter for letter in letters if letter[0] not in self._last]
        if not fresh:
            return
        with self._path.open("r+b") as file:
            _end_torn_line(file)
            for name, reason, text in fresh:
                line = json.dumps({"id": name, "reason": reason, "text": text}).encode()
                file.write(line + b"\n")
                self._remember(line)
            file.flush()
            os.fsync(file.fileno())

    def _remember(self, line: bytes) -> None:
        try:
            self._last.append(json.loads(line)["id"])
        except (ValueError, KeyError, TypeError):
            return  # torn by a kill; its document comes again
        self.count += 1


def _end_torn_line(file: IO[bytes]) -> None:
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
