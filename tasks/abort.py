"""Abort an incident: undo what can be undone, refuse where the service has moved already."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tasks.clients import cache, journal, patroni, postgres
from tasks.clients.promotion import may_be_promoted
from tasks.clients.truth import Truth, abandon, read_truth
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.incident import Incident
from tasks.facts.response import Alarm, Decision
from tasks.plan.plan import Plan
from tasks.retry import retried

# A step that had looked at the epoch just before it was given up has acted by then: one request to Patroni.
_LAST_ACT_S = 6.0


@retried("abort the incident", times=5, delay=0.5)
def abort(plan: Plan, incident: str, reason: str) -> str:
    """Give an incident up; the site that was active takes writes as before. One that died is finished.

    Returns:
        what was done, in words.

    Raises:
        Refused: there is no such incident, it has ended, another one began meanwhile, or the other site is
            promoted already, or being so.
        Permanent: the other site was promoted meanwhile.
        Transient: etcd, a store, or a target with a DCS of its own does not answer.
    """
    text = journal.read(plan, incident, "incident.json")
    if text is None:
        return _abort_alarm(plan, incident, reason)
    case = Incident.model_validate_json(text)
    _give_up(plan, case)
    time.sleep(_LAST_ACT_S)
    _require_nothing_came(plan, case)
    left = _release(plan, case.failed_site)
    _return_redis(plan, case)
    _record(plan, case.failed_site, incident, reason)
    return f"{case.failed_site} stays active and takes writes again; nothing was moved{left}"


@contextmanager
def given_up_if_alive(plan: Plan, incident: Incident) -> Iterator[None]:
    """A new incident that is refused while its site takes writes ends with that: the next one may begin.

    One that is resumed stays open: an earlier run may have done something. So does one whose site is lost:
    it can be recovered in another way.

    Raises:
        Refused: as inside.
    """
    try:
        yield
    except Refused as refused:
        nodes = plan.sites[incident.failed_site].addresses("postgres")
        if not incident.resumed and postgres.writable(plan, nodes):
            abort(plan, incident.id, refused.message)
        raise


def _give_up(plan: Plan, case: Incident) -> None:
    """Take the epoch from the incident's runs, unless an abort that died has done so."""
    truth, _ = read_truth(plan)
    if _half_aborted(plan, case, truth):
        return
    if truth.incident != case.id or truth.done:
        raise Refused(f"{case.id} is not open", f"epoch {truth.epoch}, {truth.active} is active")
    if may_be_promoted(plan, case.to_site):
        raise Refused(
            f"{case.to_site} is promoted, or being promoted: {case.id} cannot be undone",
            hint=f"finish it with `dr incident resume {case.id}`, then `dr trigger fail-back`",
        )
    abandon(plan, Truth(active=case.to_site, epoch=case.epoch, incident=case.id))


def _require_nothing_came(plan: Plan, case: Incident) -> None:
    """Refuse to release a site that a later incident may have fenced, or whose target was promoted."""
    if (later := read_truth(plan)[0].incident) != case.id:
        raise Refused(f"{later} began while {case.id} was aborted", hint=f"`dr incident show {later}`")
    if may_be_promoted(plan, case.to_site):
        raise Permanent(
            f"{case.to_site} was promoted while {case.id} was aborted",
            "two sites may take writes",
            f"stop PostgreSQL of {case.failed_site} now, then fail over again",
        )


def _half_aborted(plan: Plan, case: Incident, truth: Truth) -> bool:
    """Whether the incident is given up and nobody wrote down that it was aborted, which is done last."""
    if truth.incident != case.id or not truth.done or truth.active != case.failed_site:
        return False
    text = journal.read(plan, case.id, "decision.json")
    return text is None or Decision.model_validate_json(text).recovers


def _release(plan: Plan, site: str) -> str:
    """Let the site be a primary again; what is left to do where its own DCS cannot be told now."""
    try:
        patroni.release(plan, site)
    except Transient:
        if not patroni.has_own_dcs(plan, site):
            raise
        return f". Its Patroni does not answer: where it was held, remove standby_cluster when {site} returns"
    return ""


def _return_redis(plan: Plan, case: Incident) -> None:
    """Make the active site's Redis the master again where the other site's was promoted already.

    A cluster stayed what it was.
    """
    clustered = plan.redis_ha.mode == "cluster"
    if not clustered and cache.role(plan, cache.master_of(plan, case.to_site)) == "master":
        cache.promote(plan, case.failed_site)
        cache.follow(plan, case.to_site, case.failed_site)


def _abort_alarm(plan: Plan, incident: str, reason: str) -> str:
    text = journal.read(plan, incident, "alarm.json")
    if text is None:
        raise Refused(f"there is no incident {incident}", hint="`dr incident list` shows them")
    if journal.read(plan, incident, "decision.json"):
        raise Refused(f"{incident} is decided already", hint=f"`dr incident show {incident}`")
    _record(plan, Alarm.model_validate_json(text).site, incident, reason)
    return "the alarm is refused; nothing was touched"


def _record(plan: Plan, site: str, incident: str, reason: str) -> None:
    decision = Decision(outcome="refused", why=f"aborted: {reason}", votes=(), at=datetime.now(UTC))
    journal.write(plan, site, incident, "decision.json", decision.model_dump_json())
