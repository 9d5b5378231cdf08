"""Plain loopback: one 127.0.0.0/8 address a host, so there is nothing to make."""

from collections.abc import Mapping, Sequence

from infra.lab.network.topology import Weather
from tasks.errors import Refused


class Loopback:
    """The default network: no privileges, no latency, no partitions."""

    def prefix(self, site: str) -> list[str]:  # noqa: ARG002 - the protocol's; every site is this machine
        """Nothing: programs run where they are started."""
        return []

    def up(self, sites: Mapping[str, Sequence[str]], world: Sequence[str]) -> None:
        """Nothing to make: Linux answers on all of 127.0.0.0/8."""

    def down(self) -> None:
        """Nothing to remove."""

    def cut(self, site: str, *, world: bool = False) -> None:  # noqa: ARG002 - the protocol's; always refused
        """Refuse.

        Raises:
            Refused: always; see facts: clients cannot be told apart by source address.
        """
        raise Refused(
            f"site {site} cannot be cut on plain loopback",
            "every client appears as 127.0.0.1, so sites cannot be told apart",
            "dr lab up --network namespaces",
        )

    def worsen(self, site: str, weather: Weather) -> None:  # noqa: ARG002 - the protocol's; always refused
        """Refuse.

        Raises:
            Refused: always; packets on loopback pass nothing of ours.
        """
        raise Refused(
            f"the lines of {site} cannot be bad on plain loopback",
            "its packets do not pass the lab's link",
            "dr lab up --network namespaces",
        )

    def heal(self, site: str) -> None:
        """Nothing was ever cut."""

    def is_cut(self, site: str) -> bool:  # noqa: ARG002 - the protocol's; no site can be cut
        """Never."""
        return False

    def is_troubled(self, site: str) -> bool:  # noqa: ARG002 - as above
        """Never."""
        return False
