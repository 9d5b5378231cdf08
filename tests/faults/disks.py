"""Disks that can be filled: a folder on a small file system of its own, and a ballast for it."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_BALLAST = "ballast"


def give_disk(folder: Path, spare_mb: int) -> None:
    """Put a folder, which nothing uses now, on a disk of its own with room for so many megabytes more."""
    size = f"{_megabytes(folder) + spare_mb}m"
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], timeout=10, check=True)
    subprocess.run(["cp", "-a", f"{aside}/.", folder], timeout=60, check=True)
    shutil.copystat(aside, folder)
    shutil.chown(folder, aside.stat().st_uid, aside.stat().st_gid)
    shutil.rmtree(aside)


def _megabytes(folder: Path) -> int:
    told = subprocess.run(["du", "-sm", folder], timeout=60, check=True, capture_output=True, text=True)
    return int(told.stdout.split()[0])


def take_disk(folder: Path, *, keep: bool = True) -> None:
    """Take the disk away again, with what is on it unless that is kept; nothing uses the folder now."""
    aside = folder.with_name(f"{folder.name}.aside")
    if keep:
        subprocess.run(["cp", "-a", folder, aside], timeout=60, check=True)
    subprocess.run(["umount", "-l", folder], timeout=10, check=True)
    if keep:
        folder.rmdir()
        aside.rename(folder)


def fill(folder: Path) -> None:
    """Fill the disk of a folder to the last byte."""
    with (folder / _BALLAST).open("wb") as file:
        for size in (1 << 26, 1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)


def make_room(folder: Path) -> None:
    """Let it have room again."""
    (folder / _BALLAST).unlink(missing_ok=True)
