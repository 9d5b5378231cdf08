"""What each PostgreSQL node of a site says that it is, and whether it takes a write: the fence's own eyes."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from tasks.clients import patroni_rest, postgres
from tasks.clients.parallel import ask_all
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan

_ALL_S = 8.0
_PRIMARIES_S = 3.0
Write = Literal["taken", "refused", "unknown"]


@dataclass(frozen=True)
class NodeSeen:
    """One node of a site.

    Attributes:
        name: the host, or a member that the plan does not have.
        answers: whether its Patroni does.
        standby: whether it says that it is no primary, of a cluster that it has read to be a standby one.
        write: what became of a write that was tried straight on its PostgreSQL; taken also where it is no
            standby and would take one.
    """

    name: str
    answers: bool
    standby: bool
    write: Write


def look_at_nodes(plan: Plan, site: str) -> tuple[NodeSeen, ...]:
    """Every node of a site by its own word and by a write, then every member of it that the plan lacks.

    Such a member cannot be tried, so that nothing is known of it. Takes 8 seconds at most.
    """
    hosts = plan.sites[site].running("postgres")
    found = ask_all(
        {name: partial(_look, plan, name, str(host.address)) for name, host in hosts.items()}, _ALL_S
    )
    seen = [_unseen(name) if isinstance(node, DrError) else node for name, node in found.items()]
    if spokesman := next((node.name for node in seen if node.answers), None):
        seen += [_unseen(name) for name in _members(str(hosts[spokesman].address)) if name not in hosts]
    return tuple(seen)


def primaries(plan: Plan, site: str) -> list[str]:
    """The nodes of a site whose PostgreSQL answers and is no standby, whatever its Patroni says or says not.

    Nothing is written there. A silent one is not among them; takes 3 seconds at most.
    """
    hosts = plan.sites[site].running("postgres")
    jobs = {name: partial(_leads, plan, str(host.address)) for name, host in hosts.items()}
    return [name for name, answer in ask_all(jobs, _PRIMARIES_S).items() if answer is True]


def _leads(plan: Plan, address: str) -> bool:
    return not postgres.position(plan, address, database="postgres", timeout=2).in_recovery


def _look(plan: Plan, name: str, address: str) -> NodeSeen:
    write = _try_write(plan, address)
    try:
        role, config = patroni_rest.own_word(address)
    except Transient:
        return NodeSeen(name, answers=False, standby=False, write=write)
    standby = role in {"replica", "standby_leader"} and bool(config.get("standby_cluster"))
    return NodeSeen(name, answers=True, standby=standby, write=write)


def _try_write(plan: Plan, address: str) -> Write:
    """Refused where the node is in recovery and says so to a write; whatever else is wrong is unknown."""
    try:
        if _leads(plan, address):
            return "taken"
        refused = postgres.refuses_writes(plan, address)
    except DrError:
        return "unknown"
    return "refused" if refused else "unknown"


def _members(address: str) -> list[str]:
    """The members that a node lists; one of an unknown name where it lists none: unknown is no proof."""
    try:
        return [member.name for member in patroni_rest.members_at(address)]
    except Transient:
        return ["the other members"]


def _unseen(name: str) -> NodeSeen:
    return NodeSeen(name, answers=False, standby=False, write="unknown")
