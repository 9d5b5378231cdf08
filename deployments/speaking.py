"""Whether something is to be said outside now; the flow `inform` says it.

Through Prefect where it answers, else in this process: a disaster that took Prefect along is told as well.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from deployments.environment import api
from deployments.starting import start_here
from deployments.trigger import trigger
from tasks.crisis_record import crisis_if_any, recent_incidents
from tasks.errors import DrError, Transient
from tasks.facts.crisis import Crisis
from tasks.plan.plan import Plan
from tasks.policy.crisis import due, overtaken
from tasks.policy.duties import to_tell

_log = logging.getLogger("dr.inform")
_FLOW = "inform"
# An incident whose end is this old has duties only, which are looked at now and then.
_FRESH, _NOW_AND_THEN_S = timedelta(hours=1), 60.0
_SERVER_S = 2.0
# What is due was asked of the flow so long ago that its run must have failed.
_AGAIN_S = 30.0
# So many runs that were accepted, and changed nothing.
_IN_VAIN = 2
_looked: dict[str, float] = {}
_asked: dict[str, "_Asked"] = {}


class _Asked(NamedTuple):
    """What was due of an incident when the flow was asked for, when that was, and how often so far."""

    digest: str
    at: float
    times: int


def speak(plan: Plan) -> None:
    """Start the flow for each incident of which something is to be said or somebody to be told.

    Raises:
        DrError: no store answers, or the flow failed here; the other incidents were seen to all the same.
    """
    trouble: list[Exception] = []
    for incident in recent_incidents(plan, datetime.now(UTC)):
        if _looked.get(incident, 0.0) > time.monotonic():
            continue
        try:
            _speak_of(plan, incident)
        except Exception as error:  # noqa: BLE001 -- no fault of one disaster's record silences another
            trouble.append(error)
    if trouble:
        raise trouble[0]


def _speak_of(plan: Plan, incident: str) -> None:
    crisis = crisis_if_any(plan, incident)
    now = datetime.now(UTC)
    if crisis is None or (crisis.ended and now - crisis.ended.at > _FRESH):
        _looked[incident] = time.monotonic() + _NOW_AND_THEN_S
    if crisis:
        _start(incident, sorted(_due(plan, crisis, now)))


def _due(plan: Plan, crisis: Crisis, now: datetime) -> Iterator[str]:
    for notice, audience, channel in (*overtaken(plan.crisis, crisis, now), *due(plan.crisis, crisis, now)):
        told = crisis.telling(notice.key, audience, channel)
        yield f"{notice.key} {audience} {channel} {told.at if told else ''}"
    for duty, stage in to_tell(plan, crisis, now):
        yield f"{duty.key} {stage.stage}"


def _start(incident: str, wanted: list[str]) -> None:
    """Ask Prefect for the flow; where it cannot, or what it was asked for stays undone, run it here."""
    if not wanted:
        return
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    before = _asked.get(incident, _Asked("", 0.0, 0))
    if before.digest != digest:
        before = _Asked(digest, 0.0, 0)
    elif time.monotonic() - before.at < _AGAIN_S:
        return
    _asked[incident] = _Asked(digest, time.monotonic(), before.times + 1)
    try:
        if before.times >= _IN_VAIN:
            raise Transient("Prefect takes the runs and begins none", f"{before.times} of {_FLOW}")
        key = f"{_FLOW}-{incident}-{digest}-{int(time.time() // _AGAIN_S)}"
        trigger(api(), _FLOW, {"incident": incident}, key, timeout=_SERVER_S)
    except DrError as error:
        _log.warning("told without Prefect: %s", error)
        start_here(_FLOW, {"incident": incident})
