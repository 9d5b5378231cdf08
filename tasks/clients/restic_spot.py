"""A spot check: random files of a source against what a snapshot gives back for them.

On the host, where both are: what the files say leaves it as digests only. A file that changed since the
snapshot is not damage: its size or its time differs from what was restored, or it is younger than it.
"""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.clients.layout import Layout
from tasks.clients.restic_command import On, Place, restic
from tasks.clients.trees import run_script
from tasks.plan.plan import Plan

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\*?["})
_SAMPLE = 'cd "$1" && find . -type f -printf "%P\\0" | shuf -z -n "$2" | base64 -w0'
# Of each name that is a file: size, mtime, ctime and name; then, after an empty record, its SHA-256 and name.
_LOOK = """
cd "$1" 2>/dev/null || exit 0
shift
for name; do
    shift
    if [ -f "./$name" ]; then set -- "$@" "./$name"; fi
done
[ $# -gt 0 ] || exit 0
{ stat --printf '%s|%y|%Z|%n\\0' -- "$@"; printf '\\0'; sha256sum -z -- "$@"; } | base64 -w0
"""
# What a killed check left goes with the next one, a day later.
_MAKE = """
mkdir -p -- "$1/var/tmp" || exit 1
find "$1/var/tmp" -maxdepth 1 -name 'naas-dr-spot-????????' -mmin +1440 -exec rm -rf -- {} +
mktemp -d -- "$1/var/tmp/naas-dr-spot-XXXXXXXX"
"""


@dataclass(frozen=True)
class Seen:
    """One file: its size in bytes, its time of change as text, its status' change in seconds, its digest."""

    size: int
    modified: str
    changed: int
    sha256: str


@dataclass(frozen=True)
class Spots:
    """How many files were compared, their bytes, and the names of those that differ, each with how."""

    files: int
    bytes: int
    damages: tuple[tuple[str, str], ...]


def compare(  # noqa: PLR0913 -- a snapshot of a directory of a host of a site
    plan: Plan, site: str, host: str, path: str, snapshot: tuple[str, datetime], count: int, timeout: float
) -> Spots:
    """Compare random files of a host's directory with a snapshot in its site's repository.

    Args:
        plan: the plan.
        site: the host's site.
        host: where the source is.
        path: the directory, as the plan says it.
        snapshot: its id, and when it was taken.
        count: how many files.
        timeout: seconds for each of a few steps.

    Raises:
        Permanent: the snapshot cannot be restored from, or a file cannot be read.
        Transient: the host or the store does not answer.
    """
    on, root = On(site, host), Layout.of(plan, site, host).root
    source = str(root / path.lstrip("/"))
    names = [os.fsdecode(name) for name in _decoded(plan, on, _SAMPLE, [source, str(count)], timeout)]
    if not names:
        return Spots(0, 0, ())
    before = _look(plan, on, source, names, timeout)
    scratch = run_script(plan, on, _MAKE, [str(root)], timeout=timeout).strip()
    try:
        wanted = [f"--include={path.rstrip('/')}/{name}".translate(_SPECIAL) for name in names]
        arguments = ["restore", snapshot[0], f"--target={scratch}", *wanted]
        restic(plan, site, arguments, timeout=timeout, place=Place(on))
        held = _look(plan, on, f"{scratch}{path}", names, timeout)
    finally:
        run_script(plan, on, 'rm -rf -- "$1"', [scratch], timeout=timeout)
    return judge(before, held, int(snapshot[1].timestamp()))


def judge(source: dict[str, Seen], held: dict[str, Seen], taken: int) -> Spots:
    """Hold what a snapshot gave back against the source.

    Args:
        source: the files now.
        held: the files as they came out of the snapshot.
        taken: when the snapshot was begun, in seconds.
    """
    damages, compared = [], []
    for name, now in source.items():
        then = held.get(name)
        if then is None:
            if now.changed < taken:
                damages.append((name, "it is not in the snapshot"))
        elif (now.size, now.modified) == (then.size, then.modified):
            compared.append(now)
            if now.sha256 != then.sha256:
                damages.append((name, f"its SHA-256 is {then.sha256} in the snapshot, {now.sha256} here"))
        elif now.changed < taken:
            damages.append((name, f"it is {then.size} bytes of {then.modified} in the snapshot"))
    return Spots(len(compared), sum(each.size for each in compared), tuple(damages))


def _look(plan: Plan, on: On, folder: str, names: Sequence[str], timeout: float) -> dict[str, Seen]:
    records = _decoded(plan, on, _LOOK, [folder, *names], timeout)
    split = records.index(b"") if records else 0
    sums = {name: text.decode() for text, name in (each.split(b"  ", 1) for each in records[split + 1 :])}
    seen = {}
    for record in records[:split]:
        size, modified, changed, name = record.split(b"|", 3)
        if name in sums:
            plain = os.fsdecode(name.removeprefix(b"./"))
            seen[plain] = Seen(int(size), modified.decode(), int(changed), sums[name])
    return seen


def _decoded(plan: Plan, on: On, script: str, arguments: Sequence[str], timeout: float) -> list[bytes]:
    """What a script printed in base64, since names are any bytes: records that end with a zero byte."""
    text = run_script(plan, on, script, list(arguments), timeout=timeout)
    return base64.b64decode(text).split(b"\0")[:-1]
