"""Directory trees, here or on a host: their size, their digest, a place for a restored one.

One small shell script each, so that the same code looks at a host's tree and at ours; GNU tools only.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tasks.clients.command import run
from tasks.clients.remote import run_on
from tasks.clients.restic_command import On
from tasks.errors import Permanent, Refused
from tasks.plan.plan import Plan

_CONTENTS = """
[ -d "$1" ] || { echo "there is no directory $1" >&2; exit 1; }
find "$1" -type f -printf '%s\\n' 2>/dev/null | awk '{n += 1; s += $1} END {printf "%d %.0f\\n", n, s}'
"""
_DIGEST = """
export LC_ALL=C
cd "$1" || exit 1
{
    find . -type d -printf '%y %m %p\\0' -o -type l -printf '%y %p -> %l\\0' \
        -o -printf '%y %m %s %p\\0' | sort -z
    find . -type f -print0 | sort -z | xargs -0r sha256sum -z --
} | sha256sum
"""
_EMPTY = 'if [ -L "$1" ] || [ -n "$(ls -A "$1" 2>/dev/null)" ]; then exit 9; fi; rm -rf -- "$2"'
_SETTLE = """
[ -z "$3" ] || [ -e "$1/$3" ] || [ -L "$1/$3" ] || exit 9
[ -d "$1" ] || exit 9
rmdir -- "$2" 2>/dev/null
mv -T -- "$1" "$2"
"""
_FOUND = "exit 9"


def contents(plan: Plan, on: On | None, path: Path, *, timeout: float) -> tuple[int, int]:
    """How many files a directory holds, and their bytes together.

    Raises:
        Permanent: it is not there.
        Transient: the host cannot be reached.
    """
    files, size = run_script(plan, on, _CONTENTS, [str(path)], timeout=timeout).split()
    return int(files), int(size)


def tree_digest(path: Path, *, plan: Plan | None = None, on: On | None = None, timeout: float = 600) -> str:
    """One SHA-256 over a tree: names, types, modes, sizes, contents and the targets of links.

    Args:
        path: the tree, absolute where it is on a host.
        plan: the host's.
        on: the host; here where None.
        timeout: seconds.

    Raises:
        Permanent: it is not there, or part of it cannot be read.
    """
    return run_script(plan, on, _DIGEST, [str(path)], timeout=timeout).split()[0]


def require_empty(plan: Plan, on: On | None, target: Path, partial: Path) -> None:
    """See that a restore may go to `target`, and remove what an interrupted one left at `partial`.

    Raises:
        Refused: it holds something.
    """
    try:
        run_script(plan, on, _EMPTY, [str(target), str(partial)], timeout=600)
    except Permanent as error:
        if not error.detail.startswith(_FOUND):
            raise
        hint = "name a directory that is empty or not there"
        raise Refused("a restore never overwrites anything", f"{target} holds something", hint) from error


def settle(plan: Plan, on: On | None, partial: Path, target: Path, wanted: str) -> None:
    """Move a restored tree to its place.

    Raises:
        Permanent: the wanted path is not in it, or the place is taken meanwhile.
    """
    try:
        run_script(plan, on, _SETTLE, [str(partial), str(target), wanted.lstrip("/")], timeout=60)
    except Permanent as error:
        if not error.detail.startswith(_FOUND):
            raise
        raise Permanent(f"the snapshot has no {wanted or 'content'}", hint="look with `restic ls`") from error


def run_script(
    plan: Plan | None, on: On | None, script: str, arguments: Sequence[str], *, timeout: float
) -> str:
    """Run a shell script here or on a host; its standard output."""
    argv = ["sh", "-c", script, "sh", *arguments]
    if plan is None or on is None:
        return run(argv, timeout=timeout, env={"PATH": os.environ.get("PATH", os.defpath)})
    return run_on(plan, str(plan.sites[on.site].hosts[on.host].address), argv, timeout=timeout)
