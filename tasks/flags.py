"""Set the service's flags by hand, with who did it and why on record. Source: the seed's "Feature Flags"."""

from tasks.clients import flags, records
from tasks.clients.flag_settings import FlagSetting
from tasks.errors import Refused
from tasks.plan.plan import Plan

_FOLDER = "flags"


def set_by_hand(plan: Plan, site: str, name: str, told: FlagSetting, *, to_default: bool = False) -> None:
    """Set a flag at a site: on record first, then for the service, and out of any recovery's hands.

    Args:
        plan: the plan.
        site: the site whose service reads it.
        name: the flag.
        told: what it is set to, by whom and why.
        to_default: whether it only gets its default back, which nobody needs to keep.

    Raises:
        Refused: the plan has no such flag.
        Transient: no store takes the record, or no Redis of the site takes the flag.
    """
    if name not in plan.continuity.flags:
        known = ", ".join(plan.continuity.flags) or "none; see `continuity` in the plan"
        raise Refused(f"there is no flag {name}", f"the plan's flags: {known}")
    records.write(plan, f"{_FOLDER}/{told.at:%Y%m%dT%H%M%S.%f}-{site}-{name}.json", told.model_dump_json())
    flags.write(plan, site, {name: None if to_default else told})
