"""The database from a surviving copy: restored beside, recovered in private, and only then swapped in.

Nothing of the site is touched before the restored database was opened and found to hold what the copy has.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

from tasks.clients import journal, scope, switch
from tasks.clients.beside import Beside
from tasks.clients.parallel import answered, ask_all
from tasks.clients.pgbackrest_command import recovery_secrets
from tasks.clients.pgbackrest_log import share_done
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.cold import Aim, ColdAssessment, Infrastructure, Recovered, RestoredFiles, Swapped
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.policy.cold import end_of_history
from tasks.policy.database_restore import recovery_gap
from tasks.progress import shown
from tasks.retry import retried
from tasks.step import step

T = TypeVar("T")

_HOURS = 12 * 3600.0
# Longer than the longest of the commands on a host may take.
_HOSTS_S = 900.0
_SCOPE, _AIM = "patroni.json", "target.json"


@step("restore the database beside", deadline_s=_HOURS)
def restore_files(
    plan: Plan, incident: Incident, assessment: ColdAssessment, ready: Infrastructure
) -> RestoredFiles:
    """Restore the newest backup that leads to the target, from the copy that was chosen.

    What an earlier run restored for another target is restored anew.

    Raises:
        Refused: that is in place already.
        Permanent: pgBackRest failed.
        Transient: the host cannot be reached, or an earlier run's restore is still at work there.
    """
    beside = _beside(plan, incident, ready)
    took = 0.0
    state = beside.state()
    fits = state == "nothing" or beside.is_for(assessment.target)
    if state == "in place" and not fits:
        raise Refused(
            "what was recovered to another moment is in place already",
            f"{assessment.target or 'the newest'} is asked for now",
            "resume without target_time; restore-point-in-time brings back what another moment had",
        )
    if state == "nothing" or not fits:
        _keep_target(plan, incident, assessment)
        with shown(f"restore from {assessment.source} to {ready.host}") as told:

            def tell(line: str) -> None:
                share = share_done(line)
                if share is not None:
                    told(share, 1)

            took = beside.restore(assessment.source, assessment.target, _HOURS, tell)
    return RestoredFiles(directory=f"{ready.host}:{beside.copy}", seconds=round(took, 3))


@retried("see which moment is asked for", times=5, delay=0.5)
def aimed(
    plan: Plan, incident: Incident, assessment: ColdAssessment, target: datetime | None
) -> ColdAssessment:
    """The assessment with the moment to recover to: a run that is resumed may ask for another than the first.

    Args:
        plan: the plan.
        incident: the incident.
        assessment: what the first run saw, and asked for.
        target: what is asked for now; where None, what was restored for last.

    Raises:
        Transient: no store answers.
    """
    kept = journal.read(plan, incident.id, _AIM, incident.failed_site) if target is None else None
    if kept:
        return assessment.model_copy(update={"target": Aim.model_validate_json(kept).target})
    return assessment.model_copy(update={"target": target or assessment.target})


# Of a copy that was restored anew, what was found of the one before does not stand.
@step("recover the database beside", deadline_s=_HOURS, first_stands=False)
def recover(plan: Plan, incident: Incident, assessment: ColdAssessment, ready: Infrastructure) -> Recovered:
    """Recover it to its end in private, and see that it holds what the copy has.

    Raises:
        Permanent: it does not start, ends before its target, or ends before the newest WAL of the copy.
        Transient: the host cannot be reached.
    """
    beside = _beside(plan, incident, ready)
    state = beside.state()
    if state == "nothing":
        raise Permanent("the restored database is gone", str(beside.copy), "resume the incident")
    if state == "restored":
        facts = beside.recover(recovery_secrets(plan, assessment.source), _HOURS)
    else:
        facts = beside.recovered()
    timeline, lsn = end_of_history(facts["history"])
    copy = assessment.copy_used
    gap = recovery_gap({"archive": [{"max": copy.newest_wal}]}, (timeline, lsn))
    if gap and assessment.target is None:
        raise Permanent(f"the copy of {copy.site} is not whole", gap, "look at `dr run check_wal_archiving`")
    return Recovered.model_validate(facts | {"timeline": timeline, "lsn": lsn})


@step("swap in the restored database", deadline_s=1800)
def swap_in(plan: Plan, incident: Incident, ready: Infrastructure, recovered: Recovered) -> Swapped:
    """Stop the site's nodes, set their data directories aside, and put the restored one in place.

    Patroni's record of the site begins anew, its old one is kept in the journal.

    Raises:
        Transient: a host or etcd does not answer.
        Permanent: a node cannot be stopped, or runs out of reach; or its directory cannot be renamed.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    nodes = _reachable(plan, incident, ready)
    leader = nodes[ready.host]
    if leader.state() != "in place":
        _on_each(nodes, lambda node: switch.stop_database(plan, node.site, node.host))
        scope.require_only(plan, incident.to_site, nodes)
        _keep_scope(plan, incident)
        scope.begin_anew(plan, incident.to_site, recovered.system, incident.failed_site)
        _on_each(nodes, Beside.set_aside)
        leader.tidy(recovered.wal)
        leader.swap_in()
    kept = _on_each(nodes, Beside.kept)
    return Swapped(host=ready.host, kept=tuple(each for each in kept if each))


def is_swapping(plan: Plan, incident: Incident) -> bool:
    """Whether an incident has begun to put the restored database in the place of what the site had.

    Raises:
        Transient: no store answers.
    """
    return journal.read(plan, incident.id, _SCOPE) is not None


def _reachable(plan: Plan, incident: Incident, ready: Infrastructure) -> dict[str, Beside]:
    """The site's database hosts that can be reached; the one that is restored to must be among them."""
    hosts = plan.sites[incident.to_site].running("postgres")
    nodes = {host: _on(plan, incident, host) for host in hosts}
    states = ask_all({host: node.state for host, node in nodes.items()}, _HOSTS_S)
    answered(states[ready.host])
    return {host: node for host, node in nodes.items() if not isinstance(states[host], DrError)}


def _on_each(nodes: Mapping[str, Beside], act: Callable[[Beside], T]) -> list[T]:
    """Do it on every host at once, as users wait; what each answered."""
    found = ask_all({host: partial(act, node) for host, node in nodes.items()}, _HOSTS_S)
    return [answered(each) for each in found.values()]


def _keep_scope(plan: Plan, incident: Incident) -> None:
    """Journal Patroni's record as the first run found it; a run that was killed may have emptied it."""
    if journal.read(plan, incident.id, _SCOPE) is None:
        record = scope.record_of(plan, incident.to_site)
        journal.write(plan, incident.failed_site, incident.id, _SCOPE, json.dumps(record))


def _keep_target(plan: Plan, incident: Incident, assessment: ColdAssessment) -> None:
    """Write down what is restored for, for a run that is resumed and names no moment."""
    aim = Aim(target=assessment.target)
    journal.write(plan, incident.failed_site, incident.id, _AIM, aim.model_dump_json())


def _beside(plan: Plan, incident: Incident, ready: Infrastructure) -> Beside:
    return _on(plan, incident, ready.host)


def _on(plan: Plan, incident: Incident, host: str) -> Beside:
    return Beside(plan, incident.to_site, host, incident.id)
