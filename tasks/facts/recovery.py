"""What a recovery sees and does, as frozen facts."""

from datetime import datetime

from pydantic import Field

from tasks.facts.base import Fact
from tasks.facts.replay import Stood


class Observation(Fact):
    """The active site's database as last seen from another region.

    Attributes:
        site: the observed site.
        at: the observer's clock when it was seen.
        lsn: the primary's write position.
        next_xid: no transaction id from this one on was given out.
        last_commit: when its last transaction was committed.
        peak_rate: most transaction ids a second that were given out lately.
    """

    site: str
    at: datetime
    lsn: str
    next_xid: int
    last_commit: datetime | None
    peak_rate: float


class Promotion(Fact):
    """The new primary.

    Attributes:
        node: the node that took the first write.
        address: its address.
        first_write_at: its clock at that write.
        timeline: the new timeline.
        old_timeline: the timeline it left.
        fork_lsn: where it left it.
        next_xid: before the promotion, no more transactions were unknown to it than ids from this one on.
        last_commit: the last commit it had replayed.
    """

    node: str
    address: str
    first_write_at: datetime
    timeline: int
    old_timeline: int
    fork_lsn: str
    next_xid: int
    last_commit: datetime | None


class Assessment(Stood):
    """What was seen before anything was touched: the standby is the one that was furthest.

    Attributes:
        seen: the old primary as last seen from another region.
        old_primary_writable: whether it still took writes.
    """

    seen: Observation | None
    old_primary_writable: bool


class RedisPromotion(Fact):
    """The new Redis master."""

    master: str


class Traffic(Fact):
    """Who serves the users.

    Attributes:
        served_by: the site.
        states: each site's state at the public endpoint.
        weights: each site's part of the users, in percent.
        settle_s: for how many seconds longer some users may go where they went before.
    """

    served_by: str
    states: dict[str, str]
    weights: dict[str, int] = Field(default_factory=dict)
    settle_s: float = 0.0


class Validation(Fact):
    """What was tried after a recovery, and held.

    Attributes:
        site: the site that served.
        first_served: when it did.
        checks: what was tried.
    """

    site: str
    first_served: datetime
    checks: tuple[str, ...]


class Nearest(Fact):
    """What a site's repository was given of the other one's WAL.

    Attributes:
        objects: how many objects it lacked.
        bytes: their size.
        why_not: why it could not be made to lead to the new primary; empty where it does.
    """

    objects: int = 0
    bytes: int = 0
    why_not: str = ""


class Return(Fact):
    """A site that came back as a standby.

    Attributes:
        site: the site.
        standby_leader: the node that streams from the active site.
        streaming_at: when it was seen to.
        redis_master: the master its Redis follows; empty of a cluster, which follows nobody.
        ways: how each node came to follow, by its name; see `tasks.clients.rebuild`.
    """

    site: str
    standby_leader: str
    streaming_at: datetime
    redis_master: str
    ways: dict[str, str] = Field(default_factory=dict)
