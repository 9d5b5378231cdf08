"""What the plan wants of the running servers, as frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What one program of a host should run with.

    Attributes:
        site: the host's site.
        host: the host.
        program: the program.
        settings: each setting by its path in `Running.settings`; None means that it must not be there.
    """

    site: str
    host: str
    program: str
    settings: Mapping[Path, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OneOf:
    """A setting that may have one of several values."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.values)
