"""Whether something is to be said outside now; the flow `inform` says it.

Through Prefect where it answers, else in this process: a disaster that took Prefect along is told as well.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from deployments.environment import api
from deployments.starting import start_here
from deployments.trigger import trigger
from tasks.crisis_record import crisis_if_any, recent_incidents
from tasks.errors import DrError
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
_looked: dict[str, float] = {}
_asked: dict[str, tuple[str, float]] = {}


def speak(plan: Plan) -> None:
    """Start the flow for each incident of which something is to be said or somebody to be told.

    Raises:
        DrError: no store answers, or the flow failed here.
    """
    for incident in recent_incidents(plan, datetime.now(UTC)):
        if _looked.get(incident, 0.0) > time.monotonic():
            continue
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
    if not wanted:
        return
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    asked, at = _asked.get(incident, ("", 0.0))
    if asked == digest and time.monotonic() - at < _AGAIN_S:
        return
    _asked[incident] = digest, time.monotonic()
    try:
        key = f"{_FLOW}-{incident}-{digest}-{int(time.time() // _AGAIN_S)}"
        trigger(api(), _FLOW, {"incident": incident}, key, timeout=_SERVER_S)
    except DrError as error:
        _log.warning("told without Prefect: %s", error)
        start_here(_FLOW, {"incident": incident})
