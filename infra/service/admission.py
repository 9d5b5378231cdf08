"""Load shedding: who is served when not everybody can be.

The less a request matters, the sooner it is refused: a low one at half of what the instance serves at once,
a normal one at three quarters, a critical one only beyond all of it. It is refused at once, with 503 and
Retry-After: waiting would hold the place of one that matters more. A request may say its own priority in
X-Request-Priority; whoever does not trust its clients has its gateway set or remove that header.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from infra.service.answers import later
from infra.service.flags import SHED_LOW_PRIORITY, Flags

Priority = Literal["critical", "normal", "low"]
# Seconds after which a client may ask again: saturation passes sooner than what a flag is set for.
_SATURATED_S, _SHED_S = 1, 10


class Admission:
    """Counts the requests under way in one instance.

    Args:
        capacity: how many it serves at once.
        flags: may say that low priority is refused anyway.
    """

    def __init__(self, capacity: int, flags: Flags) -> None:
        self._flags = flags
        self._limits = {"critical": capacity, "normal": capacity * 3 // 4, "low": capacity // 2}
        self._under_way = 0

    @contextmanager
    def admitted(self, priority: Priority) -> Iterator[None]:
        """Serve a request, or refuse it.

        Raises:
            HTTPException: 503, with the seconds after which to come back.
        """
        if priority == "low" and self._flags.on(SHED_LOW_PRIORITY):
            raise later("requests of low priority are refused for now", _SHED_S)
        if self._under_way >= self._limits[priority]:
            raise later(f"too many requests for one of {priority} priority", _SATURATED_S)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
