"""What users uploaded: some hundred files such as a service gathers, for the lab's protected directories."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from infra.lab.processes import own

_FILES = 300
_FIRST_DAY = 1_767_225_600  # 2026-01-01, in seconds
_LAST_DAY = _FIRST_DAY + 300 * 86_400
_NAMES = (
    "invoice", "Rechnung März", "契約書", "отчёт", "photo", "résumé", "scan [final]", "what? *really*",
    "наброски", "🧾 receipt", "back\\slash", "  leading spaces", "-rf", "data",
)  # fmt: skip
_KINDS = ((".txt", True), (".csv", True), (".json", True), (".jpg", False), (".pdf", False), ("", False))
_WORDS = ("order", "shipped", "pending", "customer", "total", "refund", "tax", "item", "quantity", "note")


def seed_uploads(folder: Path) -> None:
    """Fill a protected directory once, the same on every host; it is the account's, like all that it holds.

    Args:
        folder: the directory; one that is there already is left alone.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _fill(partial, random.Random(folder.name))  # noqa: S311 -- the same files each time, not a secret
    for path in (*partial.rglob("*"), partial):
        if not path.is_symlink():
            own(path)
        if path.stat(follow_symlinks=False).st_mtime > _LAST_DAY:
            os.utime(path, (_LAST_DAY, _LAST_DAY), follow_symlinks=False)
    partial.rename(folder)


def _fill(folder: Path, dice: random.Random) -> None:
    made = []
    for number in range(_FILES):
        suffix, text = dice.choice(_KINDS)
        path = folder / _place(dice) / f"{dice.choice(_NAMES)} {number:04}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(dice, text=text))
        path.chmod(dice.choice((0o644, 0o644, 0o640, 0o600, 0o444, 0o755)))
        os.utime(path, (_FIRST_DAY, _FIRST_DAY + dice.randrange(_LAST_DAY - _FIRST_DAY)))
        made.append(path)
    _add_special(folder, made)


def _place(dice: random.Random) -> str:
    return f"{dice.choice(('acme', 'globex', 'Müller & Söhne', '株式会社'))}/2026/{dice.randrange(1, 11):02}"


def _content(dice: random.Random, *, text: bool) -> bytes:
    size = dice.choice((0, 200, 4_000, 20_000, 60_000))
    if not text:
        return dice.randbytes(size)
    return b"".join(_lines(dice, size))


def _lines(dice: random.Random, size: int) -> Iterator[bytes]:
    while size > 0:
        line = f"{dice.randrange(10**6)} {' '.join(dice.choices(_WORDS, k=8))}\n".encode()
        size -= len(line)
        yield line


def _add_special(folder: Path, made: list[Path]) -> None:
    """What a backup forgets first: links, a dangling one too, a second name, empty and closed directories."""
    (folder / "latest").symlink_to(made[-1].relative_to(folder))
    (folder / "gone").symlink_to("acme/deleted long ago")
    (folder / "by customer").symlink_to("acme")
    (folder / "second name").hardlink_to(made[0])
    (folder / "empty").mkdir()
    (folder / "private").mkdir(mode=0o700)
    (folder / "private" / "note").write_text("for the owner only\n")
    (folder / "private" / "note").chmod(0o600)
    (folder / ("long " + "n" * 200)).write_text("a long name\n")
