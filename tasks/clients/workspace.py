"""Folders for work under way, gone with it; what a killed process left is removed by the next."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "dr-workspace-"
# Between the making of a folder and its lock.
_YOUNG_S = 60.0


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder that only this account can read, for the block."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep() -> None:
    """Remove our folders that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another account's, or gone meanwhile.
        with suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > _YOUNG_S:
                _remove_unheld(folder)


def _remove_unheld(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(handle)
