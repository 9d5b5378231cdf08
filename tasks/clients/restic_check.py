"""Whether a copy of the files' repository is what was written: every damaged object, by its key.

restic names each object after the SHA-256 of its bytes, so an object is compared with its name, without any
password and whatever restic thinks of it. What restic alone knows, whether nothing is missing and all of it
decrypts, its own check tells.
"""

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import obstore

from tasks.clients import restic_birth
from tasks.clients.objects import Bucket, Entry, Missing, checked
from tasks.clients.restic_command import PREFIX, Place, restic
from tasks.clients.telemetry.threads import Threads
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

Damages = tuple[tuple[str, str], ...]
CONFIG = f"{PREFIX}/config"
_DATA = f"{PREFIX}/data/"
_SMALL = ("keys", "index", "snapshots", "locks")
_CHUNK = 4 * 1024 * 1024
_READERS = 4
_LISTINGS = 3
_ID = re.compile(r"\b([0-9a-f]{64})\b")
_SAYS: Sequence[tuple[str, str]] = (
    ("does not exist", "data/{id:.2}/{id}"),
    ("Pack ID does not match", "data/{id:.2}/{id}"),
    ("error loading index", "index/{id}"),
    ("not found in repository", "index"),
    ("config or key", "config"),
    ("config file", "config"),
    ("no key found", "keys"),
)


class _EnoughError(Exception):
    """What restic would say from here on is known, or would be retried for minutes."""


def check(plan: Plan, site: str, *, share: Decimal, timeout: float) -> Damages:
    """Look for damage in a site's copy, as its reader: without a lock, without writing anything.

    All small objects are read each time, of the packs a random part. A repository that is written meanwhile
    is looked at again until it stood still.

    Args:
        plan: the plan.
        site: whose copy.
        share: the part of the packs that is read, from 0 to 1.
        timeout: seconds for each of restic's looks.

    Returns:
        the key of each damaged object, and what is wrong with it; none means good.

    Raises:
        Transient: the store does not answer, or the repository does not stand still.
        Permanent: the store refuses.
    """
    bucket = Bucket.readable(plan, site, timeout=600)
    for _ in range(_LISTINGS):
        before = _listed(bucket)
        if not before:
            return ((PREFIX, "there is no repository of files"),)
        damages = dict(_wrong_names(bucket, _sampled(before, share)))
        damages |= _wrong_birth(bucket)
        damages |= _told_by_restic(plan, site, share, timeout, damages)
        # What changes under a reader without a lock may look damaged; what stood still does not.
        if not damages or _state(_listed(bucket)) == _state(before):
            return tuple(sorted(damages.items()))
    raise Transient(f"the files' repository of {site} is being written", "it looked damaged meanwhile")


def _listed(bucket: Bucket) -> list[Entry]:
    return list(bucket.list(PREFIX))


def _state(entries: Iterable[Entry]) -> set[tuple[str, str]]:
    return {(entry.key, entry.etag) for entry in entries if not entry.key.startswith(f"{PREFIX}/locks/")}


def _sampled(entries: Sequence[Entry], share: Decimal) -> list[Entry]:
    small = [entry for entry in entries if entry.key.split("/")[1] in _SMALL]
    packs = [entry for entry in entries if entry.key.startswith(_DATA)]
    wanted = min(len(packs), -int(-len(packs) * share // 1))
    return [*small, *random.sample(packs, wanted)]


def _wrong_names(bucket: Bucket, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    def one(entry: Entry) -> tuple[str, str] | None:
        try:
            digest = digest_of(bucket, entry.key)
        except Missing:
            return None  # removed since it was listed; restic tells whether it is missed
        if digest == entry.key.rpartition("/")[2]:
            return None
        return entry.key, f"its SHA-256 is {digest}, not its name"

    with Threads(_READERS) as pool:
        return [found for found in pool.map(one, entries) if found]


def digest_of(bucket: Bucket, key: str) -> str:
    """The SHA-256 of an object, read in pieces.

    Raises:
        Missing: it is not there.
        Transient, Permanent: see `Bucket`.
    """
    digest = hashlib.sha256()
    with bucket.told("read", key):
        for chunk in obstore.get(bucket.store, checked(key)).stream(min_chunk_size=_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _wrong_birth(bucket: Bucket) -> dict[str, str]:
    """The birth record against itself, and what was born against the record."""
    try:
        birth = restic_birth.read(bucket.get(restic_birth.KEY))
    except Missing:
        return {}
    if birth is None:
        return {restic_birth.KEY: "it is not what was written"}
    found = {}
    for key, content in birth.contents().items():
        try:
            if bucket.get(key) != content:
                found[key] = f"it is not what {restic_birth.KEY} has of it"
        except Missing:
            found[key] = f"it is missing; {restic_birth.KEY} has it"
    return found


def _told_by_restic(
    plan: Plan, site: str, share: Decimal, timeout: float, known: dict[str, str]
) -> dict[str, str]:
    if any(key == CONFIG or key.startswith(f"{PREFIX}/keys/") for key in known):
        return {}  # it cannot be opened
    found: dict[str, str] = {}
    subset = ["--read-data"] if share >= 1 else [f"--read-data-subset={max(share * 100, Decimal('0.1')):f}%"]
    with TemporaryDirectory(prefix="naas-dr-") as cache:
        try:
            place = Place(cache=Path(cache))
            restic(
                plan, site, ["check", "--with-cache", *subset],
                timeout=timeout, place=place, read_line=_reader(found),
            )  # fmt: skip
        except _EnoughError:
            pass
        except Permanent as error:
            if "restic check failed" not in error.message:
                raise
            if not found and not known:
                found[PREFIX] = error.detail
    return {key: what for key, what in found.items() if key not in known}


def _reader(found: dict[str, str]) -> Callable[[str], None]:
    def read_line(line: str) -> None:
        if line.startswith("check snapshots") and found:
            raise _EnoughError
        for words, name in _SAYS:
            if words in line:
                named = _ID.search(line)
                if "{id" not in name or named:
                    found.setdefault(f"{PREFIX}/{name.format(id=named[1] if named else '')}", line.strip())
                return

    return read_line
