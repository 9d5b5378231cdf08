"""What speaks against a planned move, from how both sites answered."""

from collections.abc import Iterator

from tasks.facts.move import MoveView

# One WAL segment: what the clean stop of the primary sends after it in less than a second.
MAX_LAG_BYTES = 16 * 2**20


def reasons_against(view: MoveView) -> tuple[str, ...]:
    """Why a planned move must not begin now; empty where nothing speaks against it.

    A move that nothing forces waits until every part is seen to be well: what is unknown speaks against it.
    """
    return tuple(_reasons(view))


def _reasons(view: MoveView) -> Iterator[str]:
    if view.leader is None:
        yield "no node of the active site takes writes: that is a failover"
    if view.standby_leader is None:
        yield "the other site has no standby leader"
    if view.absent:
        yield f"PostgreSQL is not well on {', '.join(view.absent)}"
    if not view.gateway_answers:
        yield "the other site's gateway does not answer"
    yield from _of_replication(view)


def _of_replication(view: MoveView) -> Iterator[str]:
    if not view.streams:
        yield "the other site does not stream WAL from the active one"
    if view.lag_bytes is None:
        yield "how far the other site is behind is unknown"
    elif view.lag_bytes > MAX_LAG_BYTES:
        yield f"the other site is {view.lag_bytes} bytes of WAL behind, {MAX_LAG_BYTES} at most"
    if view.redis_linked is None:
        yield "whether Redis replicates to the other site is unknown"
    elif not view.redis_linked:
        yield "Redis does not replicate to the other site"
