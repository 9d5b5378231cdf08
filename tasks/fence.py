"""Fence the old primary: the truth is written first, then it is proven that it is believed.

In the plan's etcd, consensus proves it. A primary that is cut off cannot renew its leader key and demotes
itself; one that is dead loses the key when its lease ends. Then the fence takes the key, so that neither
returns as a primary, whatever it still believes. One that lives and is reached says itself that it leads a
standby cluster. All this is Patroni's; a PostgreSQL that has lost its Patroni knows nothing of it. So no
node of the site that answers may still be a primary.

A site with a DCS of its own is told by the REST API of its nodes, and each of them must refuse a write. Where
they do not answer, the plan's fence commands are run; where none of them proves it, nothing does.
"""

import time
from datetime import UTC, datetime

from tasks.clients import journal, patroni
from tasks.clients.demotion import demoted_node
from tasks.clients.fence_commands import run_fence_command
from tasks.clients.nodes import look_at_nodes, primaries
from tasks.clients.truth import Truth, require_epoch
from tasks.errors import DrError, Permanent, Unproven
from tasks.facts.fence import Fence, FenceAttempt, FenceAttempts
from tasks.facts.incident import Incident
from tasks.plan.fencing import FenceCommand
from tasks.plan.plan import Plan
from tasks.policy.fence import seen_words, state_of
from tasks.step import step

_POLL_S = 0.1
_SLOW_POLL_S = 0.5
# A node that demotes itself is silent for a moment; one that was never heard is given less.
_SILENT_S, _NEVER_S = 10.0, 2.0
_TOLD = "told"


@step("fence the old primary")
def fence(plan: Plan, incident: Incident) -> Fence:
    """Make the old site a standby cluster and wait for the proof that it takes no writes.

    Raises:
        Transient: etcd has no quorum.
        Permanent: the old primary holds its leader key beyond its time to live, or a PostgreSQL still leads.
        Unproven: the old site has a DCS of its own, and neither its nodes nor a command of the plan prove it.
        Refused: this run is stale.
    """
    require_epoch(plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    if patroni.has_own_dcs(plan, incident.failed_site):
        return _fence_by_any_means(plan, incident)
    patroni.hold_as_standby(plan, incident.failed_site)
    proof = _wait_for_proof(plan, incident.failed_site)
    return Fence(proven_at=datetime.now(UTC), proof=proof)


def _wait_for_proof(plan: Plan, site: str) -> str:
    patience_s = _patience_s(plan)
    deadline, leading = time.monotonic() + patience_s, list[str]()
    while time.monotonic() < deadline:
        if (proof := _proof(plan, site)) and not (leading := primaries(plan, site)):
            return proof
        time.sleep(_POLL_S)
    seen = f"PostgreSQL on {', '.join(leading)} is a primary" if leading else "its leader key is held"
    raise Permanent(
        f"the old primary of {site} is not fenced",
        f"{seen}, still after {patience_s} s",
        "stop its PostgreSQL nodes by hand, then resume the incident",
    )


def _proof(plan: Plan, site: str) -> str:
    """How the site lost its leader key; empty while it has it."""
    if patroni.seize_leader_key(plan, site):
        return "its leader key ran out in etcd, and the fence holds it"
    holder = demoted_node(plan, site)
    return f"{holder} holds the key as a standby leader and refuses writes" if holder else ""


def _fence_by_any_means(plan: Plan, incident: Incident) -> Fence:
    """Patroni's word first, then each command of the plan, until one proves it; all are kept on record."""
    site = incident.failed_site
    fencing = plan.sites[site].fence
    attempts = [_by_patroni(plan, site)]
    for command in fencing.commands if fencing else ():
        if attempts[-1].outcome == "proved":
            break
        attempts.append(_by_command(plan, site, command))
    last, tried = attempts[-1], tuple(attempts)
    if last.outcome == "proved":
        return Fence(
            proven_at=datetime.now(UTC), proof=f"{last.name}: {last.detail or 'exit 0'}", attempts=tried
        )
    record = FenceAttempts(attempts=tried).model_dump_json()
    journal.write(plan, site, incident.id, "fence-attempts.json", record)
    raise Unproven(
        f"nothing proves that {site} takes no writes",
        "\n".join(f"{each.name}: {each.outcome}: {each.detail}" for each in tried),
        f"stop {site} so that it is proven; or have a commander answer for it: "
        f'`dr incident resume {incident.id} --override-fence "I, COMMANDER, know that {site} may still take '
        'writes"`',
    )


def _by_patroni(plan: Plan, site: str) -> FenceAttempt:
    """Have the site's cluster be a standby of nobody, and see every node of it refuse a write."""
    began = time.monotonic()
    end, quiet, held = began + _patience_s(plan), began + _NEVER_S, ""
    while True:
        nodes = look_at_nodes(plan, site)
        state = state_of(nodes)
        if proved := state == "proven" and held == _TOLD:
            break
        if any(node.answers for node in nodes):
            held = held if held == _TOLD else _hold(plan, site)
        if state != "unknown":
            quiet = time.monotonic() + _SILENT_S
        if time.monotonic() > min(end, quiet):
            break
        time.sleep(_SLOW_POLL_S)
    return FenceAttempt(
        name="Patroni's REST API",
        outcome="proved" if proved else "failed",
        detail=seen_words(nodes) if held in {"", _TOLD} else f"{held}; {seen_words(nodes)}",
        seconds=round(time.monotonic() - began, 3),
    )


def _hold(plan: Plan, site: str) -> str:
    """Tell the site's cluster to be a standby of nobody; `_TOLD`, or why it was not."""
    try:
        patroni.hold_as_standby(plan, site)
    except DrError as error:
        return error.message
    return _TOLD


def _by_command(plan: Plan, site: str, command: FenceCommand) -> FenceAttempt:
    began = time.monotonic()
    try:
        said = run_fence_command(plan, site, command)
    except DrError as error:
        outcome, said = "failed", " ".join(filter(None, (error.message, error.detail)))
    else:
        outcome = "proved" if command.proves else "done"
    return FenceAttempt.model_validate(
        {
            "name": command.name,
            "outcome": outcome,
            "detail": " ".join(said.split()),
            "seconds": round(time.monotonic() - began, 3),
        }
    )


def _patience_s(plan: Plan) -> int:
    """How long a primary may take that demotes itself: seconds."""
    return plan.patroni_timings.ttl + 2 * plan.patroni_timings.loop_wait + 10
