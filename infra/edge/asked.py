"""What a third party is asked over HTTP, and what it answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        url: the whole of it, as the client wrote it.
        path: of it, without the query.
        headers: as they came; a name's case does not matter.
        body: all of it.
        box: the inbox's file.
    """

    url: str
    path: str
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)
    box: Path

    @property
    def json(self) -> dict[str, Any] | None:
        """The body's JSON object; None where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @property
    def form(self) -> dict[str, str]:
        """The body's form; the last of several values."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode("utf-8", "replace")).items()}

    @property
    def authorization(self) -> str:
        """The header of that name."""
        return str(self.headers.get("Authorization", ""))


class Answer(NamedTuple):
    """A status, a body (JSON unless it is a text), and headers."""

    status: int
    body: Any = ""
    headers: Mapping[str, str] = {}


NO_JSON = Answer(400, "no JSON object")
