"""What a vantage has to tell Prefect: sent in the background, however often it takes. Nobody waits for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deployments.events import Event, emit
from deployments.trigger import Api, trigger
from tasks.errors import DrError, Transient

RESPONSE = "respond"
"""The deployment, and its flow, that answers a declared disaster."""

_log = logging.getLogger("dr.watch")
_AGAIN_S = 2.0
# Older events give way: a server that is away for long is told of what is so now.
_EVENTS = 500


@dataclass(frozen=True)
class Declaration:
    """A disaster to declare.

    Attributes:
        key: the same for everybody who declares this one.
        parameters: the response's.
    """

    key: str
    parameters: Mapping[str, Any]


class Outbox:
    """Events in their order, and one declaration before them all."""

    def __init__(self, api: Api, again_s: float = _AGAIN_S) -> None:
        self._api, self._again_s = api, again_s
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._due: Declaration | None = None
        self._declared: dict[str, str] = {}
        self._failing: tuple[datetime, str] | None = None
        self._something = threading.Event()

    def begin(self) -> None:
        """Send from now on."""
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def tell(self, event: Event) -> None:
        """Send an event, once the server takes it."""
        self._events.append(event)
        self._something.set()

    def declare(self, due: Declaration | None) -> None:
        """What is to be declared now; None takes back what was not sent yet: it is not due any more."""
        self._due = due
        if due:
            self._something.set()

    def run_of(self, key: str) -> str | None:
        """The flow run that a declaration started; None before it was sent."""
        return self._declared.get(key)

    def failing(self) -> tuple[datetime, str] | None:
        """Since when nothing could be sent, and why; None where all is well."""
        return self._failing

    def send(self) -> bool:
        """Send what is there, the declaration first.

        Returns:
            whether nothing is left.
        """
        errors = [error for error in (_tried(self._send_declaration), _tried(self._send_events)) if error]
        if errors:
            since, why = self._failing or (datetime.now(UTC), "")
            if errors[0].message != why:
                _log.warning("%s", errors[0])
            self._failing = (since, errors[0].message)
            return False
        if self._failing:
            _log.warning("Prefect is told again")
        self._failing = None
        return True

    def _send_declaration(self) -> None:
        due = self._due
        if due is None or due.key in self._declared:
            return
        self._declared[due.key] = trigger(self._api, RESPONSE, due.parameters, due.key, timeout=0)
        _log.warning("declared: %s runs as %s", RESPONSE, self._declared[due.key])

    def _send_events(self) -> None:
        while self._events:
            self._send_event(self._events[0])

    def _send_event(self, event: Event) -> None:
        try:
            emit(self._api, event)
        except Transient:
            raise
        except DrError as error:
            _log.warning("%s is refused, and not told: %s", event.name, error)
        if self._events and self._events[0] is event:
            self._events.popleft()

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            while not self._send_safely():
                time.sleep(self._again_s)

    def _send_safely(self) -> bool:
        try:
            return self.send()
        except Exception:  # noqa: BLE001 -- told with its traceback
            _log.exception("Prefect cannot be told")
            return False


def _tried(act: Callable[[], None]) -> DrError | None:
    try:
        act()
    except DrError as error:
        return error
    return None
