"""What a recovery does to keep the business going: the seed's mitigation strategies, as switches.

Each switch carries out one of `continuity_strategies.mitigation`.
"""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.plan.base import Block
from tasks.plan.values import Duration, Flag, Key, Patience, Sentence, refusal

Moment = Literal["declared", "promoted", "recovered"]
"""The moments of a recovery: it is declared, the site's servers take writes, its users are served."""
Recoveries = Annotated[tuple[Literal["failover", "switchover", "cold"], ...], Field(min_length=1)]
_OF_LOSSES: Recoveries = ("failover", "cold")


class FeatureFlag(Block):
    """A flag that the service reads from its site's Redis.

    Attributes:
        default: what it is while nobody sets it, and while there is no Redis.
        does: what the service does while it is on.
        refuses_orders: whether no order is taken while it is on. A recovery proves itself by an order: it
            never sets such a flag, and takes it back where a person has set it.
    """

    default: Flag = False
    does: Sentence
    refuses_orders: Flag = False

    @model_validator(mode="after")
    def _takes_orders_by_itself(self) -> Self:
        if self.refuses_orders and self.default:
            raise refusal("no order would ever be taken", "default: false where refuses_orders is true")
        return self


class Switch(Block):
    """A flag that recoveries set to the opposite of its default, and release when the service is recovered.

    Attributes:
        mitigation: the strategy that it carries out.
        flag: the flag.
        since: when it is set: at the old site, as far as its Redis answers (declared), then at the new one,
            once that takes writes (promoted).
        linger: how much longer it stays after the recovery.
        recoveries: the kinds of recovery that set it.
    """

    mitigation: Key
    flag: Key
    since: Literal["declared", "promoted"] = "declared"
    linger: Patience = timedelta(0)
    recoveries: Recoveries = _OF_LOSSES


class Workarounds(Block):
    """The owners of business processes are told how to do without them, and when that ends.

    Attributes:
        mitigation: the strategy that it carries out.
        recoveries: the kinds of recovery in which they are told.
    """

    mitigation: Key
    recoveries: Recoveries = _OF_LOSSES


class Continuity(Block):
    """The flags of the service and what recoveries do with them.

    Attributes:
        flags: by name.
        switches: what recoveries set.
        at_most: a flag that a recovery has set releases itself after this, whatever became of the recovery.
        workarounds: whether and when owners are told.
    """

    flags: dict[Key, FeatureFlag] = Field(default_factory=dict)
    switches: tuple[Switch, ...] = ()
    at_most: Duration = timedelta(hours=4)
    workarounds: Workarounds | None = None

    @property
    def defaults(self) -> dict[str, bool]:
        """What each flag is while nobody sets it."""
        return {name: flag.default for name, flag in self.flags.items()}
