"""Third parties that fail now and then: by chance, and the same way for the same seed."""

import random
import threading
from collections.abc import Mapping
from typing import Literal

Fault = Literal["busy", "broken", "gone", "mute"]
"""busy: asks for time. broken: says that it failed. gone: hangs up, and took nothing. mute: took it, and
hangs up without a word."""


class Faults:
    """Decides for each request whether it fails, and how.

    The n-th request of a channel has the same fate whatever the others are asked meanwhile.
    """

    def __init__(
        self, rates: Mapping[str, Mapping[Fault, float]] | None = None, seed: int = 0, wait_s: int = 1
    ) -> None:
        """Nothing fails by default.

        Args:
            rates: for each channel how often each fault comes, of 1 in all.
            seed: of the chance.
            wait_s: the seconds that a busy channel asks for.
        """
        self.wait_s = wait_s
        self._rates = rates or {}
        self._chances: dict[str, random.Random] = {}
        self._seed = seed
        self._choosing = threading.Lock()

    def next(self, channel: str) -> Fault | None:
        """The fate of the channel's next request."""
        rates = self._rates.get(channel, {})
        with self._choosing:
            chance = self._chances.setdefault(channel, random.Random(f"{self._seed}/{channel}"))  # noqa: S311
            drawn = chance.random()
        for fault, rate in rates.items():
            drawn -= rate
            if drawn < 0:
                return fault
        return None
