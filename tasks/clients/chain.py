"""The chain of evidence in the archive's store: files by their SHA-256, links by their number, all locked.

A link vouches for its files and for the link before it. What the newest one is, every site's store witnesses:
so that the end of the chain cannot be taken away unseen.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from tasks.clients import records
from tasks.clients.objects import Missing
from tasks.clients.vault import Vault
from tasks.errors import DrError, Permanent
from tasks.plan.plan import Plan

_LINKS, _FILES, _HEAD = "evidence/chain", "evidence/files", "evidence/head.json"


def digest_of(data: bytes) -> str:
    """The SHA-256 by which a file or a link is known."""
    return hashlib.sha256(data).hexdigest()


class Chain:
    """The chain, as its owner.

    Every method raises Transient where the store does not answer, and Permanent where it refuses.
    """

    def __init__(self, plan: Plan) -> None:
        """Nothing is asked yet."""
        self._plan, self.site = plan, plan.site_of("archive")
        self._vault = Vault(plan, self.site)

    def numbers(self) -> list[int]:
        """The numbers of the links that are there, in order."""
        names = (entry.key.rpartition("/")[2] for entry in self._vault.bucket.list(_LINKS))
        return sorted(int(name) for name in names)

    def link(self, number: int) -> bytes:
        """A link as it is stored."""
        return self._vault.bucket.get(_link_key(number))

    def locked_until(self, number: int) -> datetime | None:
        """Until when the store refuses to delete a link; None where it does not."""
        return self._vault.locked_until(_link_key(number))

    def file(self, digest: str) -> bytes:
        """A file."""
        return self._vault.bucket.get(f"{_FILES}/{digest}")

    def what_is_wrong_with(self, digest: str) -> str:
        """Why a file is not what its SHA-256 says; empty where it is."""
        try:
            return "" if digest_of(self.file(digest)) == digest else "its content was changed"
        except Missing:
            return "it was removed"

    def keep(self, data: bytes, until: datetime) -> str:
        """Store a file, locked; what is there already is only kept longer. Its SHA-256."""
        digest = digest_of(data)
        key = f"{_FILES}/{digest}"
        if not self._vault.bucket.create(key, data) and self.what_is_wrong_with(digest):
            raise Permanent(f"{key} of {self.site} is not what its name says", hint="`dr report verify`")
        self._vault.lock(key, until)
        return digest

    def add(self, number: int, link: bytes, until: datetime) -> bool:
        """Store a link, locked; False where another has this number."""
        key = _link_key(number)
        if not self._vault.bucket.create(key, link):
            return False
        self._vault.lock(key, until)
        return True

    def lock(self, number: int, until: datetime) -> None:
        """Let nobody delete a link before a moment."""
        self._vault.lock(_link_key(number), until)

    def witness(self, head: str) -> None:
        """Write down at every site which link is the newest."""
        records.write(self._plan, _HEAD, head)

    def witnessed(self) -> Mapping[str, str | DrError | None]:
        """What each site knows as the newest link: None where it knows none, or why it could not be asked."""
        return {site: self._asked(site) for site in self._plan.sites}

    def _asked(self, site: str) -> str | DrError | None:
        try:
            return records.read_at(self._plan, site, _HEAD)
        except DrError as error:
            return error


def _link_key(number: int) -> str:
    return f"{_LINKS}/{number:08}"
