"""The parts of a repository that pgBackRest never verifies: its own records, which are plain text inside.

It reads an info file or a manifest, or silently the copy beside where the first is damaged; the labels of
backups and the histories of timelines it does not read at all. A flipped bit in AES-CBC spoils a whole
block, so that what was text no longer is; a truncated or missing one differs from its copy.

Source: pgBackRest command reference, "Repository Get File Command".
"""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence

from tasks.clients.objects import Bucket
from tasks.clients.pgbackrest_command import repository
from tasks.clients.remote import run_on
from tasks.clients.repository import ROOT
from tasks.plan.plan import Plan

_PAIRED = ("archive.info", "backup.info", "backup.manifest")
_TEXTS = (*_PAIRED, ".copy", ".backup", ".history", ".manifest", ".manifest.gz")
_EMPTY = "0"
_LOOKS, _SETTLE_S = 3, 3.0
# For each name: how many bytes it has, how many of them are no text, and its hash.
_READ = """
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
while IFS= read -r name; do
    {command} repo-get "$name" >"$folder/got" 2>/dev/null </dev/null || : >"$folder/got"
    case $name in
    *.gz) gzip -dc <"$folder/got" >"$folder/text" 2>/dev/null || : >"$folder/text" ;;
    *) mv "$folder/got" "$folder/text" ;;
    esac
    bytes=$(wc -c <"$folder/text")
    odd=$(LC_ALL=C tr -d '[:print:]\\n\\t' <"$folder/text" | wc -c)
    hash=$(sha256sum <"$folder/text")
    echo "$bytes $odd ${{hash%% *}} $name"
done
"""


def damaged_texts(plan: Plan, site: str, *, timeout: float, root: str = ROOT) -> tuple[tuple[str, str], ...]:
    """Every record that cannot be read as text, or that differs from its copy, and how.

    A record and its copy are written one after the other: what is wrong is looked at again, until nothing
    changed meanwhile.

    Raises:
        Transient: the store or every database host cannot be reached, or the time is over.
        Permanent: the store refuses.
    """
    seen = _hashes(plan, site, timeout, root)
    for _ in range(_LOOKS):
        if not any(_judged(seen)):
            break
        time.sleep(_SETTLE_S)
        before, seen = seen, _hashes(plan, site, timeout, root)
        if seen == before:
            break
    return tuple(_judged(seen))


def _hashes(plan: Plan, site: str, timeout: float, root: str) -> Mapping[str, str | None]:
    keys = [entry.key.removeprefix(f"{root}/") for entry in Bucket.readable(plan, site).list(root)]
    names = [key for key in keys if key.endswith(_TEXTS)]
    if not names:
        return {}
    where = repository(plan, site, "reader", root=root)
    argv = ["sh", "-c", _READ.format(command=shlex.join(where.argv([])))]
    given = "".join(f"{name}\n" for name in names)
    told = run_on(plan, where.address, argv, timeout=timeout, secrets=where.secrets, stdin=given)
    return _texts(names, told.splitlines())


def _texts(names: Sequence[str], lines: Sequence[str]) -> Mapping[str, str | None]:
    """Each record's hash; None for one that is not text, or that nothing was told of."""
    hashes: dict[str, str | None] = dict.fromkeys(names)
    for line in lines:
        size, odd, read, name = line.split(" ", 3)
        if size != _EMPTY and odd == _EMPTY:
            hashes[name] = read
    return hashes


def _judged(hashes: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    for name, digest in hashes.items():
        copy = hashes.get(f"{name}.copy", digest)
        if digest is None:
            yield name, "it is not the text that was written"
        elif name.endswith(_PAIRED) and f"{name}.copy" not in hashes:
            yield f"{name}.copy", "it is missing"
        elif name.endswith(_PAIRED) and copy not in {digest, None}:
            yield name, "it and its copy differ"
