"""Look at what is left before a recovery from backups: the old primary, the standby, every copy."""

from datetime import UTC, datetime

from tasks.clients import held, patroni, postgres, scope
from tasks.clients.observation import last_observation
from tasks.errors import DrError, Refused
from tasks.facts.cold import ColdAssessment, Copy
from tasks.facts.incident import Incident
from tasks.facts.recovery import Observation
from tasks.plan.plan import Plan
from tasks.policy.cold import choose_copy, require_moment, usable_standby
from tasks.step import first_result, step

_TITLE = "assess the copies"
_NO_LSN = "0/0"


@step(_TITLE)
def assess_copies(plan: Plan, incident: Incident, *, target: datetime | None, force: bool) -> ColdAssessment:
    """Look at the old primary, at the standby that could take over instead, and at every copy.

    Args:
        plan: the plan.
        incident: the incident.
        target: the moment to recover to; the newest that a copy gives where None.
        force: go on although the old primary takes writes, or a standby could take over.

    Raises:
        Refused: one of these, no copy can be restored to that moment, or the site has a DCS of its own.
        Transient: etcd has no quorum.
    """
    if incident.resumed and (first := first_result(plan, incident, _TITLE)):
        return ColdAssessment.model_validate(first)  # since then the site may have been recovered
    scope.require_ours(plan, incident.to_site)
    require_moment(target, datetime.now(UTC))
    writable = postgres.writable(plan, plan.sites[incident.failed_site].addresses("postgres"))
    standby = _furthest(plan, incident.to_site)
    copies = tuple(_copy(plan, site) for site in _preferred(plan, incident))
    if not force:
        _refuse_alive(incident, writable)
        if target is None and plan.recovery.standby == "hot":
            _refuse_standby(incident, standby, copies)
    told = last_observation(plan, incident.failed_site)
    seen = Observation.model_validate_json(told) if told else None
    source = choose_copy(copies, target)
    stored = next(copy.stored_at for copy in copies if copy.site == source)
    return ColdAssessment(
        seen=seen,
        old_primary_writable=bool(writable),
        standby_lsn=standby.lsn if standby else _NO_LSN,
        standby_next_xid=standby.next_xid if standby else 0,
        standby_last_commit=standby.last_commit if standby else None,
        copies=copies,
        source=source,
        target=target,
        expected_loss_s=(seen.at - stored).total_seconds() if seen and stored else None,
    )


def _refuse_alive(incident: Incident, writable: list[str]) -> None:
    if writable:
        raise Refused(
            f"{incident.failed_site} is alive: its primary takes writes",
            ", ".join(writable),
            "restore_point_in_time brings lost rows back beside it; to replace it all the same, use force",
        )


def _refuse_standby(incident: Incident, standby: postgres.Position | None, copies: tuple[Copy, ...]) -> None:
    if standby and usable_standby(standby.lsn, copies):
        raise Refused(
            f"{incident.to_site} has a standby that holds at least what the copies do",
            f"its WAL goes to {standby.lsn}",
            f"failing over is faster and loses less: `dr run fail_over --param incident={incident.id}`; "
            "to recover from backups all the same, run again with force",
        )


def _preferred(plan: Plan, incident: Incident) -> list[str]:
    """The taking-over site's own copy first, then the archive's; the failed site's store may be gone."""
    order = dict.fromkeys((incident.to_site, plan.site_of("archive"), *plan.sites))
    return [site for site in order if site != incident.failed_site]


def _furthest(plan: Plan, site: str) -> postgres.Position | None:
    found = []
    for address in plan.sites[site].addresses("postgres"):
        try:
            found.append(postgres.position(plan, address))
        except DrError:
            continue
    try:
        patroni.members(plan, site)
    except DrError:
        return None  # without Patroni there is nobody to promote it
    return max(found, key=lambda position: position.next_xid, default=None)


def _copy(plan: Plan, site: str) -> Copy:
    try:
        found = held.look(plan, site)
    except DrError as error:
        return Copy(site=site, wrong=error.message)
    return Copy(
        site=site,
        newest_wal=found.newest_wal,
        stored_at=found.stored_at,
        oldest=min(found.ends, default=None),
        newest=max(found.ends, default=None),
        wrong="" if found.ends and found.newest_wal else "no whole backup, or no WAL",
    )
