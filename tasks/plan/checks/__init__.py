"""What a plan must hold beyond the form of each value: references, addresses, and time that fits."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.plan.checks import (
    business,
    continuity,
    crisis,
    database,
    fencing,
    paging,
    policy,
    protection,
    redis,
    services,
    sites,
    traffic,
    validation,
)
from tasks.plan.mistakes import Mistake

_CHECKS = (
    *sites.CHECKS,
    *traffic.CHECKS,
    *database.CHECKS,
    *fencing.CHECKS,
    *policy.CHECKS,
    *paging.CHECKS,
    *protection.CHECKS,
    *redis.CHECKS,
    *validation.CHECKS,
    *services.CHECKS,
    *business.CHECKS,
    *crisis.CHECKS,
    *continuity.CHECKS,
)


def cross_check(blocks: Mapping[str, Any]) -> Iterator[Mistake]:
    """Run every check whose blocks are all there; a check's parameters name the blocks it needs."""
    for check in _CHECKS:
        needed = inspect.signature(check).parameters
        if needed.keys() <= blocks.keys():
            yield from check(**{name: blocks[name] for name in needed})
