"""The files through which a lab and its link agree: what is wanted, and what the link has applied.

Only the standard library is imported: the link's process starts through this module.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.lab.network.topology import NONE, Topology, Trouble, Weather


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

    def wanted(self) -> Trouble:
        """The trouble that is wanted."""
        return self._trouble("wanted")

    def want(self, trouble: Trouble) -> None:
        """Ask for this trouble, and no other."""
        self._write("wanted", asdict(trouble))

    def applied(self) -> Trouble:
        """The trouble that the link makes."""
        return self._trouble("applied")

    def confirm(self, trouble: Trouble) -> None:
        """Say, as the link, that this trouble is made."""
        self._write("applied", asdict(trouble))

    def _trouble(self, name: str) -> Trouble:
        try:
            told = self._read(name)
        except FileNotFoundError:
            return NONE
        return Trouble(told["cuts"], {site: Weather(**each) for site, each in told["weather"].items()})

    def _read(self, name: str) -> Any:
        return json.loads((self.directory / f"{name}.json").read_text())

    def _write(self, name: str, value: Any) -> None:
        """Replace a file whole, so that a reader never sees half of it."""
        partial = self.directory / f"{name}.partial"
        partial.write_text(json.dumps(value))
        partial.replace(self.directory / f"{name}.json")
