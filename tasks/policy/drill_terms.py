"""What each kind of drill rehearses, takes for granted and asks for, fixed before it begins. Pure.

Source: the seed's "DR Testing Schedule"; DORA RTS Art. 25.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tasks.facts.drill import Kind


@dataclass(frozen=True)
class Terms:
    """A kind of drill in words.

    Attributes:
        scenario: what is rehearsed, and why it is severe but plausible.
        environment: where.
        assumptions: what is taken for granted.
        criteria: what must hold.
        trials: what its trials are called.
        slowest: what the seconds that are held against the RTO are.
        behind: what those that are held against the RPO are.
        switched: what was switched to redundant capacity, and who was told.
    """

    scenario: str
    environment: str
    assumptions: tuple[str, ...]
    criteria: tuple[str, ...]
    trials: str
    slowest: str
    behind: str
    switched: str


_CLOCKS = "times are those of the hosts' own clocks, which NTP keeps together"
_RESTORATION = Terms(
    scenario="A disaster or a mistake has destroyed an asset, and one site's copy of the backups is all that "
    "is left. Regions, accounts and disks were lost so before, and backups that verified did not restore",
    environment="restored in private on database hosts that do not lead, with no network, and in folders of "
    "the worker that no one else can read",
    assumptions=(
        "the recovery key and the repositories' keys can be read",
        "a database host that does not lead has room for a copy",
        _CLOCKS,
    ),
    criteria=(
        "every asset comes back from every site's copy: the newest point, and one by chance",
        "the database passes pg_amcheck, and its rows equal those of a standby at the same WAL position",
        "the plan's invariants hold in it",
        "files, configuration, secrets and Redis equal what was stored, by their checksums",
        "each restore ends within the tier's RTO",
        "production, its replication and its users are not touched",
        "nothing is left behind",
    ),
    trials="restores",
    slowest="slowest restore (RTO)",
    behind="the database's copies were behind by (RPO)",
    switched="No service was switched to redundant capacity, and nobody outside was told: "
    "this drill asks for neither.",
)
_FAILOVER_TESTING = Terms(
    scenario="The active site is lost, and its services must run at the other one, on what that has. "
    "Programs that were never started there since the last change did not when they had to",
    environment="on a clone of a standby, on its host, in a network namespace with no way in or out",
    assumptions=(
        "what the service keeps beside the database, such as a cache, is not part of it",
        "a standby's host has room for a copy",
        _CLOCKS,
    ),
    criteria=(
        "the clone of the standby opens, and the service answers on it within the tier's RTO",
        "nothing inside reaches production or a notification channel",
        "the plan's workflow goes through from end to end",
        "the standby that was cloned follows all the time",
        "production, its replication and its users are not touched",
        "nothing is left behind, and it is over in time",
    ),
    trials="activations",
    slowest="from the first byte to the first answer (RTO)",
    behind="the clone was behind by (RPO)",
    switched="No user was switched to redundant capacity, and nobody outside was told: this drill asks for "
    "neither.",
)
_FULL_FAILOVER = Terms(
    scenario="The region of the active site must be left: for a flood that is forecast, for work on its "
    "power, or since half of it fails already. Whole regions were out for hours before, and a standby that "
    "never served users did not when it had to",
    environment="production itself, under the load of its users",
    assumptions=("both sites are well before it begins", "the commanders can be reached", _CLOCKS),
    criteria=(
        "the other site serves the users, and the smoke, integration and security checks pass there",
        "the service comes home, and the checks pass there too",
        "writes pause for less than the tier's RTO, both times",
        "no acknowledged write is lost",
        "both sites replicate as before",
    ),
    trials="moves",
    slowest="longest pause of writes (RTO)",
    behind="acknowledged writes were lost of (RPO)",
    switched="The service was switched to the other site and back, by the incidents above: their reports are "
    "part of this evidence. Nobody outside was told: a planned move tells nobody.",
)
_EXERCISE = Terms(
    scenario="The region of the active site is dark, and so are its people, tools and vendors: everybody who "
    "has a part plays it. Organisations failed before whose machines did not: nobody knew whom to call",
    environment="production itself, under the load of its users, and the people who answer for its processes",
    assumptions=(
        "both sites are well before it begins",
        "people answer in the Prefect UI, or by REST",
        "messages to third parties are marked as an exercise",
        _CLOCKS,
    ),
    criteria=(
        "every channel takes the messages, and everybody who has a part answers the call",
        "the other site serves the users, and the service comes home",
        "the smoke, integration and security checks pass at both sites",
        "writes pause for less than the tier's RTO, and no acknowledged write is lost",
        "each business process goes on, and its owner knows how to do without it",
        "the commanders know what to do about each inject",
        "the first notice to the authorities is ready in time",
        "everybody signs off",
    ),
    trials="parts",
    slowest="longest pause of writes (RTO)",
    behind="acknowledged writes were lost of (RPO)",
    switched="The service was switched to the other site and back, by the incidents above: their reports are "
    "part of this evidence. Every channel was told, in messages that are marked as an exercise.",
)
TERMS: Mapping[Kind, Terms] = MappingProxyType(
    {
        "backup_restoration": _RESTORATION,
        "failover_testing": _FAILOVER_TESTING,
        "full_failover": _FULL_FAILOVER,
        "full_dr_exercise": _EXERCISE,
    }
)
"""The kinds of drill that there are."""
