"""What a planned move sees of both sites, as frozen facts."""

from datetime import datetime

from tasks.facts.base import Fact


class Handover(Fact):
    """The old primary of a planned move, once it is a standby and the other site has all of its WAL.

    Attributes:
        node: the node that led, and now leads a standby cluster.
        told_at: when it was told to stop; writes were taken until then at least.
        final_lsn: the end of its WAL.
        received_lsn: the end of the other site's WAL, never before it.
    """

    node: str
    told_at: datetime
    final_lsn: str
    received_lsn: str


class MoveView(Fact):
    """Both sites before a planned move, as they answered.

    Attributes:
        leader: the node that took a write at the active site; None where none did.
        standby_leader: the node that leads the other site's standby cluster; None where none does.
        lag_bytes: WAL that the active site has written and the other has not received; None if unknown.
        streams: whether the other site receives WAL straight from the active one.
        absent: PostgreSQL nodes of both sites that are not running or not streaming.
        redis_linked: whether the other site's Redis follows the active site's master; None if unknown.
        gateway_answers: whether the other site's own gateway answers at all; it serves once its database
            does.
    """

    leader: str | None
    standby_leader: str | None
    lag_bytes: int | None
    streams: bool
    absent: tuple[str, ...]
    redis_linked: bool | None
    gateway_answers: bool
