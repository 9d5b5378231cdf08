"""Logs as JSON lines, one a record, in the Elastic Common Schema's words.

The standard library does it: the fields' names, the masking and the single write a line are the whole of the
work, and a JSON formatter from elsewhere leaves all three to us.
"""

import json
import logging
import os
import platform
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.clients.telemetry.labels import labels

# Every field that a line can have, and how Elasticsearch indexes it.
FIELDS: Mapping[str, str] = {
    "@timestamp": "date",
    "log.level": "keyword",
    "log.logger": "keyword",
    "log.file.path": "keyword",
    "log.offset": "long",
    "message": "text",
    "event.dataset": "keyword",
    "event.action": "keyword",
    "event.outcome": "keyword",
    "service.name": "keyword",
    "process.name": "keyword",
    "process.pid": "long",
    "host.name": "keyword",
    "error.type": "keyword",
    "error.message": "text",
    "error.stack_trace": "text",
    "dr.incident": "keyword",
    "dr.step": "keyword",
    "dr.site": "keyword",
    "dr.host": "keyword",
    "dr.outcome": "keyword",
    "dr.flow": "keyword",
    "dr.flow_run": "keyword",
}
# By what a logger's name begins with; all others are the application's.
_DATASETS = {
    "dr.security": "security",
    "dr.audit": "audit",
    "prefect.flow_runs": "audit",
    "prefect.task_runs": "audit",
}
_LONGEST = {"error.stack_trace": 32_000}
_LONG = 8_000
Describe = Callable[[logging.LogRecord], Mapping[str, str]]


def dataset_of(logger: str) -> str:
    """Whose readers a logger's lines are for: security, audit or application."""
    found = (name for start, name in _DATASETS.items() if f"{logger}.".startswith(f"{start}."))
    return next(found, "application")


def told(action: str, outcome: str = "", **more: str) -> dict[str, Any]:
    """The `extra` of a record that says what was done and how it ended."""
    return {"fields": {"event.action": action, **({"event.outcome": outcome} if outcome else {}), **more}}


class JsonFormatter(logging.Formatter):
    """Makes a record one line of ASCII, whatever its message holds."""

    def __init__(
        self, service: str, program: str, mask: Callable[[str], str], describe: Describe = lambda _: {}
    ) -> None:
        """Nothing is written yet.

        Args:
            service: the plan's service.
            program: which of our programs this process is.
            mask: what takes secrets out of a text.
            describe: a record's further fields, such as the flow run's.
        """
        super().__init__()
        self._service, self._program = service, program
        self._host = platform.node()
        self._mask, self._describe = mask, describe

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, without its end."""
        fields: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": _message(record),
            "event.dataset": dataset_of(record.name),
            "service.name": self._service,
            "process.name": self._program,
            "process.pid": record.process or os.getpid(),
            "host.name": self._host,
            **self._describe(record),
            **labels(),
            **getattr(record, "fields", {}),
            **_error(record),
        }
        return json.dumps({name: self._clean(name, value) for name, value in fields.items()})

    def _clean(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        # Half a surrogate pair is no text, and Elasticsearch refuses it.
        text = self._mask(value).encode("utf-8", "replace").decode()
        longest = _LONGEST.get(name, _LONG)
        left = len(text) - longest
        return text if left <= 0 else f"{text[:longest]} ... {left} more characters"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 -- a wrong format string is no reason to lose what it says
        return f"{record.msg} {record.args!r}"


def _error(record: logging.LogRecord) -> dict[str, str]:
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    return {
        "error.type": type(error).__name__,
        "error.message": str(error),
        "error.stack_trace": "".join(traceback.format_exception(error)),
    }


class DailyFile(logging.Handler):
    """Appends each line, in one write, to the file of its day (UTC), which all programs of a host share."""

    def __init__(self, folder: Path) -> None:
        """The folder is made where it is missing; nothing is opened yet.

        Raises:
            OSError: the folder cannot be made.
        """
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._day, self._file = "", -1

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what cannot be written is told on standard error and ends nothing."""
        try:
            line = self.format(record).encode() + b"\n"
            if os.write(self._open(f"{datetime.now(UTC):%Y-%m-%d}"), line) < len(line):
                self.close_file()  # the disk is full; what opens it again ends the torn line
        except Exception:  # noqa: BLE001 -- logging's own way: no log ends what it tells of
            self.handleError(record)

    def _open(self, day: str) -> int:
        if day != self._day:
            self.close_file()
            path = self._folder / f"dr-{day}.jsonl"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
            self._day = day
            # A program that was killed while it wrote leaves a line without an end. One that still writes
            # looks the same: its line then has an empty one after it.
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")
        return self._file

    def close_file(self) -> None:
        """Close the day's file; the next line opens one."""
        if self._day:
            os.close(self._file)
            self._day = ""

    def close(self) -> None:
        """Close the handler."""
        self.close_file()
        super().close()
