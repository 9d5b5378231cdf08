"""Hold a site with a DCS of its own when it returns: nobody told that DCS, so it returns as a primary.

Users were moved away before, so what it takes are writes of its own programs. It is told to be a standby of
nobody as soon as one of its nodes answers, before anything is saved from it or rewound.
"""

import time
from datetime import UTC, datetime

from tasks.clients import patroni, traffic
from tasks.clients.nodes import look_at_nodes
from tasks.clients.truth import read_truth
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.fence import Held
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.policy.fence import seen_words, state_of, writers
from tasks.step import step

# Started before the site is: it is held as soon as it answers.
_RETURN_S = 900
_POLL_S = 0.25


@step("hold the returned site", deadline_s=_RETURN_S)
def hold_returned(plan: Plan, incident: Incident) -> Held:
    """Make the old site a standby of nobody, and see every node of it refuse a write.

    Raises:
        Refused: the site is the active one by now, or users still reach it: it must not be demoted.
        Permanent: not every node refuses writes within a quarter of an hour.
        Transient: etcd, or what moves the users, does not answer.
    """
    site = incident.failed_site
    _require_left(plan, site)
    primaries: dict[str, None] = {}
    deadline = time.monotonic() + _RETURN_S
    while True:
        told = _hold(plan, site)
        nodes = look_at_nodes(plan, site)
        primaries |= dict.fromkeys(writers(nodes))
        if told and state_of(nodes) == "proven":
            return Held(primaries=tuple(primaries), held_at=datetime.now(UTC))
        if time.monotonic() > deadline:
            raise Permanent(
                f"{site} is not held",
                seen_words(nodes),
                "start Patroni on every node; stop PostgreSQL where it takes writes all the same",
            )
        time.sleep(_POLL_S)


def _require_left(plan: Plan, site: str) -> None:
    """Never demote the site that serves: after a move home, it is an old incident's failed one."""
    truth, _ = read_truth(plan)
    if truth.active == site:
        raise Refused(f"{site} is the active site", f"epoch {truth.epoch} by {truth.incident}")
    if traffic.weights(plan).get(site):
        raise Refused(f"users still reach {site}", str(traffic.weights(plan)), "move them first")


def _hold(plan: Plan, site: str) -> bool:
    try:
        patroni.hold_as_standby(plan, site)
    except Transient:
        return False
    return True
