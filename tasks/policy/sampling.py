"""Which part of what is there is read this time. Pure."""

import hashlib
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal


def sample(names: Iterable[str], share: Decimal, seed: str) -> frozenset[str]:
    """A share of the names, rounded up: the same for the same seed, evenly another for another one.

    Args:
        names: all of them.
        share: from 0 to 1.
        seed: what the choice depends on.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    return frozenset(order[: int((len(order) * share).to_integral_value(ROUND_CEILING))])
