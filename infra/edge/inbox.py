"""The inbox: a JSON object a line for every message that was taken."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_writing = threading.Lock()


def put(path: Path, channel: str, subject: str, text: str, **details: Any) -> None:
    """Append one message; it is in the file when its sender is told so."""
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "channel": channel,
        "subject": subject,
        "text": text,
        **details,
    }
    with _writing, path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def messages(path: Path) -> Iterator[dict[str, Any]]:
    """Every message, the oldest first; none where nothing was ever taken."""
    if path.exists():
        # What follows the last newline is still being written.
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
        yield from map(json.loads, lines)
