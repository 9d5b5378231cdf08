"""A returned site's nodes on their way to the active site, and what helps one that waits on it."""

import time
from collections.abc import Sequence
from contextlib import suppress

from tasks.clients import patroni, slots
from tasks.errors import DrError, Permanent, Transient
from tasks.nearest import bring_newest_wal
from tasks.plan.plan import Plan

_FOLLOW_S = 90
_REBUILD_S = 12 * 3600.0
_POLL_S = 0.25
_FEED_EVERY_S = 5.0


def streaming(plan: Plan, site: str) -> str:
    """The node that leads a site, where every node of it streams.

    Raises:
        Transient: not every node does.
    """
    return _leading(plan, site, patroni.members(plan, site))


def _leading(plan: Plan, site: str, members: Sequence[patroni.Member]) -> str:
    behind = [m.name for m in members if m.state != "streaming"]
    if behind or len(members) < len(plan.sites[site].running("postgres")):
        raise Transient(f"not every node of {site} follows yet", ", ".join(behind))
    return next((m.name for m in members if m.leads), "")


def until_streaming(plan: Plan, site: str, upstream: str) -> str:
    """The node that leads, once all of them stream; a whole database takes its time to be copied.

    A rewound node opens at the WAL that its source had then, and asks the active site for it through the
    site's one slot. Who comes second would wait for Patroni to lose patience, a minute: so that WAL is
    brought to the repository beside it, where it looks as well.

    Raises:
        Permanent: a node does not follow within a minute and a half, or within half a day where one is made
            anew.
    """
    began, patience_s, fed = time.monotonic(), float(_FOLLOW_S), time.monotonic()
    while True:
        states = set[str]()
        try:
            members = patroni.members(plan, site)
            states = {member.state for member in members}
            return _leading(plan, site, members)
        except Transient as error:
            if time.monotonic() - began > patience_s:
                raise Permanent(f"it did not happen within {patience_s:g} s", str(error)) from error
        if "creating replica" in states:
            patience_s = _REBUILD_S
        if time.monotonic() - fed > _FEED_EVERY_S and "starting" in states:
            fed = time.monotonic()
            with suppress(DrError):
                bring_newest_wal(plan, upstream, site)
        with suppress(Transient):
            slots.free(plan, site, upstream)
        time.sleep(_POLL_S)
