"""The files through which a lab and its link agree: what is wanted, and what the link has applied.

Only the standard library is imported: the link's process starts through this module.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.lab.network.topology import Cut, Topology


@dataclass(frozen=True)
class State:
    """A directory that belongs to one network alone; `down` removes it."""

    directory: Path

    @property
    def log(self) -> Path:
        """Where the link writes what happens to it."""
        return self.directory / "link.log"

    def topology(self) -> Topology | None:
        """The recorded topology; None where there is none, or one of another release."""
        try:
            wanted = self._read("topology")
            wanted["sites"] = {site: tuple(addresses) for site, addresses in wanted["sites"].items()}
            return Topology(**{**wanted, "world": tuple(wanted["world"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def record(self, topology: Topology) -> None:
        """Write down what is about to be made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write("topology", asdict(topology))

    def cuts(self) -> dict[str, Cut]:
        """The partitions that are wanted."""
        return self._cuts("cuts")

    def want(self, cuts: dict[str, Cut]) -> None:
        """Ask for these partitions."""
        self._write("cuts", cuts)

    def applied(self) -> dict[str, Cut]:
        """The partitions that the link enforces."""
        return self._cuts("applied")

    def confirm(self, cuts: dict[str, Cut]) -> None:
        """Say, as the link, that these partitions are enforced."""
        self._write("applied", cuts)

    def _cuts(self, name: str) -> dict[str, Cut]:
        try:
            cuts: dict[str, Cut] = self._read(name)
        except FileNotFoundError:
            return {}
        return cuts

    def _read(self, name: str) -> Any:
        return json.loads((self.directory / f"{name}.json").read_text())

    def _write(self, name: str, value: Any) -> None:
        """Replace a file whole, so that a reader never sees half of it."""
        partial = self.directory / f"{name}.partial"
        partial.write_text(json.dumps(value))
        partial.replace(self.directory / f"{name}.json")
