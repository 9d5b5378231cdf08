"""The hash slots of a Redis cluster: who has which, what nobody has, and where a key belongs. Pure.

Source: Redis manual, "Redis cluster specification", "Key distribution model".
"""

from collections.abc import Callable, Iterable

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

Slots = tuple[tuple[int, int], ...]
"""Ranges of slots, first and last; none where a server has no part in a cluster."""


def written(slots: Slots) -> str:
    """Ranges as Redis writes them: "0-5460, 7000"."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in slots)


def parsed(text: str) -> Slots:
    """Ranges as they were written.

    Raises:
        ValueError: they are not.
    """
    pairs = (each.partition("-") for each in text.split(", ") if each)
    return tuple((int(first), int(last or first)) for first, _, last in pairs)


def missing(held: Iterable[Slots]) -> Slots:
    """The slots that nobody has."""
    return _with_holders(held, lambda holders: holders == 0)


def repeated(held: Iterable[Slots]) -> Slots:
    """The slots that more than one has."""
    return _with_holders(held, lambda holders: holders > 1)


def is_at_home(key: bytes, slots: Slots) -> bool:
    """Whether a key belongs to one of some slots."""
    slot = key_slot(key)
    return any(first <= slot <= last for first, last in slots)


def _with_holders(held: Iterable[Slots], wanted: Callable[[int], bool]) -> Slots:
    holders = [0] * REDIS_CLUSTER_HASH_SLOTS
    for slots in held:
        for first, last in slots:
            for slot in range(first, last + 1):
                holders[slot] += 1
    found: list[tuple[int, int]] = []
    for slot, count in enumerate(holders):
        if not wanted(count):
            continue
        if found and found[-1][1] == slot - 1:
            found[-1] = found[-1][0], slot
        else:
            found.append((slot, slot))
    return tuple(found)
