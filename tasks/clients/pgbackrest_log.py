"""What pgBackRest's log says, for what its exit code does not.

Source: pgBackRest 2.45, the log lines of its backup, restore and verify commands.
"""

import re
from collections.abc import Iterable

_LINE = re.compile(r"^\S+ \S+ P\d+\s+(WARN|ERROR|INFO|DETAIL): (.*)$")
# The file is quoted after some words and not after others, and bad ones are told at INFO.
_BAD = re.compile(r"^(?:invalid \w+|file missing|unable to \w+) '?([^\s':]+)'?")
_FILE = re.compile(r"'([^']+)'")
_STATUS = re.compile(r"backup: (\S+), status: (?!valid)([\w-]+(?: missing)?),")
_DONE = re.compile(r"\(.*?(?P<part>[\d.]+)%\)")


def damages_in(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Every file that a verify calls damaged or missing, and how; whatever else it warns of, too."""
    found: dict[str, str] = {}
    for line in lines:
        match, status = _LINE.match(line), _STATUS.search(line)
        bad = _BAD.match(match[2]) if match else None
        if match and bad:
            found.setdefault(bad[1], match[2])
        elif match and match[1] in {"WARN", "ERROR"}:
            name = _FILE.search(match[2])
            found.setdefault(name[1] if name else "repository", match[2])
        elif status:
            found.setdefault(status[1], f"the backup is {status[2]}")
    return tuple(found.items())


def share_done(line: str) -> float | None:
    """How far a backup or restore is after the file of this line, 0 to 1; None for any other line."""
    found = _DONE.search(line)
    return float(found["part"]) / 100 if found else None


def label_in(line: str) -> list[str]:
    """The label of a backup that was just finished, if this line tells it."""
    return re.findall(r"new backup label = (\S+)", line)


def is_locked(told: str) -> bool:
    """Whether pgBackRest failed because another one holds its lock (exit code 50)."""
    return told.startswith("exit 50:")
