"""One process speaks for an incident at a time: its place is a key in etcd, which goes with its lease.

Where etcd does not answer, people are told all the same: telling twice is better than not telling. A speaker
is silent only where etcd itself says that its lease has ended, for then another one may have its place.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tasks.clients.parallel import ask_all
from tasks.clients.telemetry.threads import carried
from tasks.clients.truth import etcd_of
from tasks.errors import DrError
from tasks.plan.plan import Plan

# After so long the place of a speaker that was killed is free again.
_TTL_S, _RENEWED_S = 15, 5.0
# People wait to be told: seconds for one member, and for all that is asked of etcd at once.
_MEMBER_S, _ANSWER_S = 0.9, 2.0
_log = logging.getLogger("dr.inform")


class Silenced(DrError):
    """This process has lost its place; what it has not said is another run's. Never retried."""


@contextmanager
def speaker(plan: Plan) -> Iterator["Speaker"]:
    """Gives what takes places, and leaves them with the block: no sending may be under way then."""
    found = Speaker(plan)
    try:
        yield found
    finally:
        found.leave()


class Speaker:
    """The places that this process has; one lease for all of them.

    Args:
        plan: whose etcd is asked.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._etcd = plan, etcd_of(plan, timeout=_MEMBER_S)
        self._lease, self._until = 0, 0.0
        self._mine: set[str] = set()
        self._unasked = self._lost = False
        self._lock, self._left = threading.Lock(), threading.Event()

    def other(self, incident: str) -> str:
        """Take the place of who speaks for an incident.

        Returns:
            who has it; empty where this process does, or where etcd does not answer.
        """
        if incident in self._mine or self._unasked:
            return ""
        asked_at = time.monotonic()
        answer = ask_all({incident: partial(self._claim, incident)}, _ANSWER_S)[incident]
        if isinstance(answer, DrError):
            _log.warning("who else speaks is not known, people are told all the same: %s", answer)
            self._unasked = True
            return ""
        lease, holder = answer
        if not self._lease:
            self._lease, self._until = lease, asked_at + _TTL_S
            threading.Thread(target=carried(self._keep), name="speaker", daemon=True).start()
        if not holder:
            self._mine.add(incident)
        return holder

    def lost(self) -> bool:
        """Whether this process has lost its places."""
        if self._lease and time.monotonic() >= self._until:  # it stood still for a while
            self._renew()
        return self._lost

    def require(self) -> None:
        """See that this process may begin to say something.

        Raises:
            Silenced: it has lost its places.
        """
        if self.lost():
            raise Silenced("another process may speak by now", "the lease in etcd has ended", "run it again")

    def leave(self) -> None:
        """Free the places; where etcd does not answer, they are free when the lease ends."""
        self._left.set()
        if self._lease:
            ask_all({"left": partial(self._etcd.revoke, self._lease)}, _ANSWER_S)

    def _claim(self, incident: str) -> tuple[int, str]:
        lease = self._lease or self._etcd.grant(_TTL_S)
        key = f"/naas-dr/{self._plan.service.name}/speaks/{incident}"
        if self._etcd.swap(key, f"process {os.getpid()} on {socket.gethostname()}", 0, lease):
            return lease, ""
        found = self._etcd.get(key)
        if found.lease == lease:  # a member that took it died before it said so
            return lease, ""
        return lease, found.value or "a process that has just ended"

    def _keep(self) -> None:
        while not self._left.wait(_RENEWED_S):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            asked_at = time.monotonic()
            with suppress(DrError):  # who cannot ask goes on
                self._lost = self._lost or not self._etcd.renew(self._lease)
            self._until = asked_at + _TTL_S
