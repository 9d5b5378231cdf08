"""Keep the business going through a recovery. Source: the seed's "Continuity Strategies", mitigation.

A flag that cannot be set, and an owner who cannot be told, stand in the step's finding and in nobody's way.
"""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import flags
from tasks.clients.channels import mail
from tasks.clients.flag_settings import FlagSetting
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Transient
from tasks.facts.continuity import Switched, Told
from tasks.facts.incident import Incident
from tasks.plan.continuity import Moment
from tasks.plan.plan import Plan
from tasks.policy.continuity import SWITCH, TELL, Ends, changes, owners_message, released_by, workarounds
from tasks.step import first_result, step

# A Redis that was just promoted may need a moment.
_PATIENCE_S, _POLL_S = 5.0, 0.2
# An owner may also be a department, by name.
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


@step(SWITCH + " {moment}")
def switch_continuity(plan: Plan, incident: Incident, moment: Moment) -> Switched:
    """Set or release the flags as the plan says: at the old site when declared, then at the new one."""
    site = incident.failed_site if moment == "declared" else incident.to_site
    patience_s = 0.0 if moment == "declared" else _PATIENCE_S
    try:
        return _patiently(patience_s, lambda: _switched(plan, incident, moment, site))
    except DrError as error:
        return Switched(site=site, not_done=str(error))


@step(TELL + " {moment}")
def tell_owners(plan: Plan, incident: Incident, moment: Ends) -> Told:
    """Mail each owner of a process how to do without the service, or that it is there again; submit it.

    An earlier run's mails are not sent again, unless it ended before it could write down that it had.
    """
    wanted = plan.continuity.workarounds
    if wanted is None or incident.kind not in wanted.recoveries:
        return Told()
    if incident.resumed and (before := first_result(plan, incident, f"{TELL} {moment}")):
        return Told.model_validate(before)
    ways = workarounds(plan.business_impact, plan.service.name)
    return Told(owners={owner: _mailed(plan, incident, moment, owner, ways[owner]) for owner in ways})


@task(name="give the flags back", cache_policy=NO_CACHE)
def give_flags_back(plan: Plan, incident: str) -> dict[str, str]:
    """Release, at every site, the flags of an incident that is given up.

    Returns:
        by site, which ones, or why it could not be told; those end by themselves.
    """
    told = {}
    for name, site in plan.sites.items():
        if not site.running("redis"):
            continue
        try:
            mine: Mapping[str, FlagSetting | None] = released_by(incident, flags.read(plan, name))
            flags.write(plan, name, mine)
            told[name] = ", ".join(mine)
        except Transient as error:
            told[name] = str(error)
    return told


def _switched(plan: Plan, incident: Incident, moment: Moment, site: str) -> Switched:
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    done = changes(plan.continuity, incident, moment, flags.read(plan, site), datetime.now(UTC))
    flags.write(plan, site, {each.flag: each.setting for each in done if not each.left})
    return Switched(site=site, flags={each.flag: each.words for each in done})


def _patiently(seconds: float, act: Callable[[], Switched]) -> Switched:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except Transient:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_S)


def _mailed(plan: Plan, incident: Incident, moment: Ends, owner: str, ways: str) -> str:
    email = plan.notifications.email
    if email is None or _ADDRESS.fullmatch(owner) is None:
        return "not told: no address to mail to"
    there = plan.notifications.model_copy(update={"email": email.model_copy(update={"to": owner})})
    try:
        message = owners_message(incident, moment, owner, ways)
        receipt = mail.send(plan.model_copy(update={"notifications": there}), message)
    except DrError as error:
        return f"not told: {error}"
    return f"told: {receipt}"
