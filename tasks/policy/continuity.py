"""What becomes of the service's flags at each moment of a recovery. Pure.

What a person has set stays, and is not released: they had a reason. The one exception is a flag that refuses
orders, by which no recovery could prove itself.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from tasks.clients.channels.message import Message
from tasks.clients.flag_settings import FlagSetting
from tasks.facts.continuity import Change
from tasks.facts.incident import Incident
from tasks.plan.business import BusinessImpact
from tasks.plan.continuity import Continuity, Moment, Switch
from tasks.plan.values import in_words

Settings = Mapping[str, FlagSetting]
Ends = Literal["declared", "recovered"]
"""When owners are told: as soon as they have to do without, and when they no longer have to."""
BY_RECOVERY = "the recovery"
SWITCH, TELL = "switch continuity when", "tell the owners when"


def changes(
    continuity: Continuity, incident: Incident, moment: Moment, found: Settings, now: datetime
) -> list[Change]:
    """What to do with which flags.

    Args:
        continuity: the plan's.
        incident: the recovery.
        moment: what it has come to.
        found: what is set at the site.
        now: the moment by the clock.
    """
    held = {name: setting for name, setting in found.items() if setting.holds(now)}
    if moment == "recovered":
        return _released(continuity, incident, held, now)
    due = [
        switch
        for switch in continuity.switches
        if incident.kind in switch.recoveries and moment in (switch.since, "promoted")
    ]
    done = [_thrown(continuity, incident, switch, held.get(switch.flag), now) for switch in due]
    return [*done, *(_lifted(continuity, held) if moment == "promoted" else [])]


def released_by(incident: str, found: Settings) -> dict[str, None]:
    """What an incident that is given up has set."""
    return dict.fromkeys(name for name, setting in found.items() if setting.incident == incident)


def workarounds(business_impact: BusinessImpact, service: str) -> dict[str, str]:
    """What each owner is to be told: how to do without a service, in the plan's words."""
    told: dict[str, list[str]] = {}
    for name, process in business_impact.items():
        if service in process.services and process.workaround:
            told.setdefault(process.owner, []).append(f"{name}: {process.workaround}.")
    return {owner: "\n".join(lines) for owner, lines in told.items()}


def owners_message(incident: Incident, moment: Ends, owner: str, ways: str) -> Message:
    """What an owner reads; its Message-ID is their own, its thread the incident's."""
    reader = hashlib.sha256(owner.encode()).hexdigest()[:8]  # an address may hold what an id may not
    if moment == "declared":
        subject = f"{incident.service} is disrupted: how to work without it"
        text = f"{incident.service} is being recovered ({incident.id}). Until you hear that it is:\n\n{ways}"
    else:
        subject = f"{incident.service} is there again"
        text = f"{incident.service} is recovered ({incident.id}). What was done meanwhile ends:\n\n{ways}"
    return Message(
        stage=moment,
        severity="critical",
        incident=incident.id,
        subject=subject,
        text=text,
        dedup_key=f"{incident.id}-workarounds-{reader}",
    )


def _thrown(
    continuity: Continuity, incident: Incident, switch: Switch, before: FlagSetting | None, now: datetime
) -> Change:
    wanted = not continuity.flags[switch.flag].default
    if before and not before.incident:
        stands = "on" if before.on else "off"
        return Change(flag=switch.flag, words=f"left {stands}: set by {before.by}, {before.why}", left=True)
    setting = FlagSetting(
        on=wanted,
        by=BY_RECOVERY,
        why=f"{switch.mitigation}: {incident.id}",
        at=now,
        until=now + continuity.at_most,
        incident=incident.id,
    )
    words = f"{'on' if wanted else 'off'} for {switch.mitigation}"
    return Change(flag=switch.flag, words=words, setting=setting)


def _lifted(continuity: Continuity, held: Settings) -> list[Change]:
    return [
        Change(
            flag=name, words=f"taken back, to prove the recovery: set by {held[name].by}, {held[name].why}"
        )
        for name, flag in continuity.flags.items()
        if flag.refuses_orders and name in held and held[name].on
    ]


def _released(continuity: Continuity, incident: Incident, held: Settings, now: datetime) -> list[Change]:
    lingering = {switch.flag: switch.linger for switch in continuity.switches}
    done = []
    for name, setting in held.items():
        if setting.incident != incident.id:
            continue
        if linger := lingering.get(name):
            until = setting.model_copy(update={"until": now + linger})
            done.append(Change(flag=name, words=f"released in {in_words(linger)}", setting=until))
        else:
            done.append(Change(flag=name, words="released"))
    return done
