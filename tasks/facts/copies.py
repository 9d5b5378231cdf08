"""What replication did, and what a comparison of the sites saw, as frozen facts."""

from dataclasses import dataclass

from tasks.facts.backups import Damage


@dataclass(frozen=True)
class CopyReport:
    """What one pass of replication did to one repository.

    Attributes:
        repository: its folder in the bucket.
        objects: objects copied.
        bytes: bytes copied.
        skipped: objects that were the same already.
        postponed: objects of backups that are still being written.
        conflicts: what may never change, and did at the source: keys, or why it is another repository; the
            copy was kept.
        refused: keys whose content at the source is not what their name or manifest promises; not copied.
        kept: backups and points that only the copy has.
        seconds: how long it took.
    """

    repository: str
    objects: int
    bytes: int
    skipped: int
    postponed: int
    conflicts: tuple[str, ...]
    seconds: float
    refused: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Healed:
    """One damage, and the site its object was healed from; empty where nothing proves which copy is good."""

    damage: Damage
    source: str
