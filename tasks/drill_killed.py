"""Drills that ended without a word, killed or lost with their host: they get a report all the same.

Source: the seed's "automatic rollback after testing".
"""

from datetime import UTC, datetime
from functools import partial

from tasks.clients import drill_ground, records
from tasks.clients.parallel import ask_all
from tasks.clients.truth import active_site, open_incident
from tasks.drill import database_hosts
from tasks.drill_evidence import FOLDER, drills
from tasks.facts.drill import Drill, Trial
from tasks.plan.plan import Plan
from tasks.policy.drill import killed_trial
from tasks.retry import retried

_YOUNG_S = 180.0
_ASK_S = 20.0


@retried("find drills that ended without a word", times=1)
def find_killed(plan: Plan) -> tuple[Drill, ...]:
    """The drills without a report that no host has heard of for a while.

    Where a host does not answer, the drill may live: it is looked at another time.

    Raises:
        Transient: no store answers.
    """
    found = []
    for name in sorted(set(records.names(plan, FOLDER, "/drill.json")) - set(drills(plan))):
        text = records.read(plan, f"{FOLDER}/{name}/drill.json")
        drill = Drill.model_validate_json(text) if text else None
        if drill and (datetime.now(UTC) - drill.began).total_seconds() > _YOUNG_S and _is_dead(plan, name):
            found.append(drill)
    # One may have ended by itself, with its report, while the hosts were asked.
    reported = set(drills(plan)) if found else ()
    return tuple(drill for drill in found if drill.id not in reported)


@retried("see where a drill left the service")
def look_at_killed(plan: Plan, drill: Drill) -> Trial:
    """What there is to say of it, and what brings the service home.

    Raises:
        Transient: etcd has no quorum.
    """
    active = active_site(plan)
    away = "" if active == plan.site_of("primary") else active
    return killed_trial(drill, datetime.now(UTC), away, open_incident(plan) or "")


def _is_dead(plan: Plan, name: str) -> bool:
    asks = {where: partial(drill_ground.lives, plan, *where, name) for where in database_hosts(plan)}
    return all(answer is False for answer in ask_all(asks, _ASK_S).values())
