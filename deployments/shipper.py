"""The shipper: brings the JSON lines of this host to Elasticsearch, each of them once.

`python -m deployments.shipper`, one process a host. The files are its queue, so what is written outlives a
dead Elasticsearch, a dead shipper and the program that wrote it. A line's id follows from where it stands and
what it says, its index from its moment: when it is sent again, nothing changes. What is refused for good is
kept in `FOLDER/shipper/dead-letters.ndjson`.
"""

import hashlib
import json
import logging
import platform
import random
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deployments.ending import told_by
from deployments.telemetry import written
from tasks.clients.dead_letters import DeadLetters
from tasks.clients.elasticsearch import Cluster, Document, Outcome, create_all, index_of
from tasks.clients.log_files import Line, LogFiles
from tasks.current import current_plan
from tasks.errors import DrError, Refused
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret
from tasks.plan.telemetry import LogShipping

_log = logging.getLogger("dr.shipper")
_LINES, _BYTES = 500, 2 << 20
_IDLE_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 0.2, 30.0


class Naming(NamedTuple):
    """What the indices are called after, and how often a new one begins."""

    service: str
    rotation: timedelta


class Shipper:
    """One folder on its way to one cluster."""

    def __init__(self, folder: Path, cluster: Callable[[], Cluster], naming: Naming, kept_s: float) -> None:
        """Take up where the last shipper stood.

        Args:
            folder: of the files; the position and the dead letters lie in `shipper` below it.
            cluster: where they go, and with what key; asked again once it takes nothing.
            naming: of the indices.
            kept_s: seconds for which a day's file stays after all of it was shipped.
        """
        state = folder / "shipper"
        state.mkdir(parents=True, exist_ok=True)
        self._files = LogFiles(folder, state / "position.json")
        self._dead = DeadLetters(state / "dead-letters.ndjson")
        self._cluster_of, self._cluster = cluster, cluster()
        self._naming, self._kept_s = naming, kept_s
        self._failing = ""

    def ship(self, stopping: threading.Event) -> bool:
        """Ship the next lines, however long that takes; whether there were any.

        Args:
            stopping: ends it; what is not known to be there by then is sent again by the next shipper.
        """
        batch = self._files.batch(_LINES, _BYTES)
        for name in batch.begun_again:
            _log.warning("%s was cut or replaced: read from its beginning", name)
        documents = [found for line in batch.lines if (found := self._document(line))]
        if self._settled(documents, stopping):
            self._files.commit(batch.after)
            self._files.remove_shipped(self._kept_s)
        return bool(batch.lines)

    def _settled(self, documents: Sequence[Document], stopping: threading.Event) -> bool:
        left, pause = tuple(documents), _FIRST_PAUSE_S
        while left:
            outcome = self._sent(left)
            self._bury([(it.id, reason, it.source) for it, reason in outcome.refused])
            pause = _FIRST_PAUSE_S if len(outcome.again) < len(left) else min(2 * pause, _LONGEST_PAUSE_S)
            left = outcome.again
            if left and stopping.wait(pause * random.uniform(0.5, 1)):  # noqa: S311 -- no secret
                return False
        return True

    def _sent(self, documents: tuple[Document, ...]) -> Outcome:
        try:
            outcome = create_all(self._cluster, documents)
        except DrError as error:
            if error.message != self._failing:
                _log.warning("%s", error)
            self._failing = error.message
            with suppress(DrError):  # the key may have been rotated
                self._cluster = self._cluster_of()
            return Outcome(again=documents)
        if self._failing:
            _log.warning("Elasticsearch takes lines again")
        self._failing = ""
        return outcome

    def _document(self, line: Line) -> Document | None:
        """A line as Elasticsearch is to have it; what is none goes to the dead letters at once."""
        if not line.content:
            return None
        name = _id_of(line)
        try:
            fields = json.loads(line.content)
            at = datetime.fromisoformat(fields["@timestamp"]).astimezone(UTC)
            index = index_of(self._naming.service, fields["event.dataset"], at, self._naming.rotation)
        # One line that breaks the shipper would be read again by the next, and by every one after it.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            self._bury(
                [(name, f"no line of ours: {error!r}", line.content.decode(errors="backslashreplace"))]
            )
            return None
        fields |= {"log.file.path": line.file, "log.offset": line.offset}
        return Document(index, name, json.dumps(fields))

    def _bury(self, letters: Sequence[tuple[str, str, str]]) -> None:
        before = self._dead.count
        self._dead.keep(letters)
        # Told when they have doubled: a word about each would be one more line that may be refused.
        if self._dead.count.bit_length() > before.bit_length():
            _log.error("%d lines are not in Elasticsearch; the last: %s", self._dead.count, letters[-1][1])


def _id_of(line: Line) -> str:
    place = f"{platform.node()}\n{line.file}\n{line.offset}\n".encode()
    return hashlib.sha256(place + line.content).hexdigest()[:40]


def shipper_of(plan: Plan) -> Shipper:
    """The shipper that a plan describes.

    Raises:
        Refused: the plan ships no logs.
        Permanent: the API key or the certificate cannot be read.
    """
    logs = plan.telemetry.logs
    if logs is None:
        raise Refused("no logs are shipped", "the plan has no telemetry.logs", "describe them there")
    naming = Naming(plan.service.name, plan.monitoring.logging.elasticsearch.indices.every)
    return Shipper(Path(logs.folder), partial(_cluster_of, plan, logs), naming, logs.kept.total_seconds())


def _cluster_of(plan: Plan, logs: LogShipping) -> Cluster:
    authority = read_secret(plan.folder, logs.ca_certificate) if logs.ca_certificate else None
    return Cluster(logs.elasticsearch, read_secret(plan.folder, logs.api_key), authority)


@told_by("shipper")
def main() -> None:
    """Ship until SIGTERM; exit code 2 where the plan wants none of it."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    plan = current_plan()
    shipper = shipper_of(plan)
    with written("shipper", plan):
        while not stopping.is_set():
            if not shipper.ship(stopping):
                stopping.wait(_IDLE_S)


if __name__ == "__main__":
    main()
