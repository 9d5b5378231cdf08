"""How a site stands with the users."""

from collections.abc import Mapping
from typing import NamedTuple

OUT = "MAINT"
UP = "UP"


class Standing(NamedTuple):
    """One site at the public endpoint.

    Attributes:
        weight: the part of the users that is sent to it, in percent.
        state: it begins with UP where users are served, is MAINT where none are sent, or such as DOWN.
    """

    weight: int
    state: str


def split(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """A total in whole parts by weight, the largest rests rounded up; all zero where no weight is set."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    parts = {site: total * weight // whole for site, weight in weights.items()}
    by_rest = sorted(weights, key=lambda site: total * weights[site] % whole, reverse=True)
    for site in by_rest[: total - sum(parts.values())]:
        parts[site] += 1
    return parts


def as_shares(weights: Mapping[str, int]) -> dict[str, int]:
    """A driver's own weights in percent, 100 in all; a site that some users reach never has 0."""
    shares = split(100, weights)
    for site, weight in weights.items():
        if weight and not shares[site]:
            shares[max(shares, key=lambda name: shares[name])] -= 1
            shares[site] = 1
    return shares


def standings(weights: Mapping[str, int]) -> dict[str, Standing]:
    """How sites stand where the driver knows nothing but their weights."""
    shares = as_shares(weights)
    return {site: Standing(share, UP if share else OUT) for site, share in shares.items()}
