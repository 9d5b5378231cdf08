"""How the old primary was kept from writing, as frozen facts."""

from datetime import datetime
from typing import Literal

from tasks.facts.base import Fact


class FenceAttempt(Fact):
    """One way that was tried.

    Attributes:
        name: Patroni's REST API, or the plan's name of a command.
        outcome: it proved that no writes are taken, was done and proves nothing, or failed.
        detail: what was seen or said, without secrets.
        seconds: how long it took.
    """

    name: str
    outcome: Literal["proved", "done", "failed"]
    detail: str
    seconds: float


class FenceAttempts(Fact):
    """All that were made, as they are kept for whoever decides."""

    attempts: tuple[FenceAttempt, ...]


class FenceOverride(Fact):
    """A commander's word that the recovery goes on although nothing proves that the old primary stopped.

    Attributes:
        commander: who, by the plan's name.
        statement: the sentence that was typed.
        at: when.
    """

    commander: str
    statement: str
    at: datetime


class Fence(Fact):
    """Proof that the old primary takes no more writes; or, where `proven` is false, whose word stands for it.

    Attributes:
        proven_at: when the last of it was seen; without proof, when the word was given.
        proof: what was seen; without proof, why there is none.
        proven: whether it is proof.
        overridden_by: the commander who let the recovery go on without.
        statement: in which words.
        attempts: what was tried, in order; none where the plan's etcd decides.
    """

    proven_at: datetime
    proof: str
    proven: bool = True
    overridden_by: str = ""
    statement: str = ""
    attempts: tuple[FenceAttempt, ...] = ()


class Held(Fact):
    """An old site with a DCS of its own, after its return: a standby of nobody, seen on every node.

    Attributes:
        primaries: the nodes that took writes when the site was first seen again.
        held_at: when none did any more.
    """

    primaries: tuple[str, ...]
    held_at: datetime
