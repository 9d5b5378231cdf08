"""Sealed evidence: links of a chain, as frozen facts."""

from datetime import datetime

from tasks.facts.base import Fact


class Seal(Fact):
    """One link of the chain of evidence: it vouches for one state of one report, and for the link before it.

    Attributes:
        number: from 1, without a gap.
        subject: whose report it is.
        files: the SHA-256 of each file of the report, by its name.
        previous: the SHA-256 of the link before it, as it is stored; empty in the first.
        sealed_at: when.
        kept_until: until when nobody can delete it.
        verdict: what the report found.
    """

    number: int
    subject: str
    files: dict[str, str]
    previous: str
    sealed_at: datetime
    kept_until: datetime
    verdict: str


class Link(Fact):
    """A link as it was found in the store.

    Attributes:
        number: its number by its place.
        digest: the SHA-256 of what is stored there.
        seal: what it says; None where no trusted key signed it.
        flaw: why it says nothing.
        locked_until: until when the store refuses to delete it; None where it does not refuse.
    """

    number: int
    digest: str
    seal: Seal | None
    flaw: str = ""
    locked_until: datetime | None = None


class Head(Fact):
    """The newest link that a site's store witnessed."""

    number: int
    digest: str
