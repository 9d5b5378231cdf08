"""What the lab asks of its network."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from infra.lab.network.topology import Weather


class Network(Protocol):
    """Sites, the world around them (users, the public endpoint, the `dr` command), and partitions."""

    def prefix(self, site: str) -> list[str]:
        """The argv prefix that runs a program inside a site; empty where sites share one network."""
        ...

    def up(self, sites: Mapping[str, Sequence[str]], world: Sequence[str]) -> None:
        """Make or repair the network; existing partitions stay.

        Args:
            sites: the addresses of each site's hosts, on this network; the first one is the source of
                connections that programs open without binding.
            world: the addresses outside every site, the public endpoint's first.
        """
        ...

    def down(self) -> None:
        """Remove whatever `up` made, finished or not."""
        ...

    def cut(self, site: str, *, world: bool = False) -> None:
        """Drop all traffic between a site and the other sites; with `world`, between it and anything."""
        ...

    def worsen(self, site: str, weather: Weather) -> None:
        """Let the packets between a site and anything else take longer, or get lost."""
        ...

    def heal(self, site: str) -> None:
        """Undo `cut` and `worsen`."""
        ...

    def is_cut(self, site: str) -> bool:
        """Whether a site is partitioned from the others."""
        ...

    def is_troubled(self, site: str) -> bool:
        """Whether a site is cut, or its lines are bad."""
        ...
