"""The truth about which site is active: one record in etcd, outside every single region.

Every recovery takes the next epoch by a conditional write. A run whose epoch is no longer the record's
is stale and must not act.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tasks.clients.etcd import Entry, Etcd
from tasks.errors import Refused
from tasks.plan.plan import Plan


class Truth(BaseModel):
    """Who takes writes, by whose decision.

    Attributes:
        active: the site that takes writes, or that the incident of this epoch is moving them to.
        epoch: grows by one with every incident that acts.
        incident: the id of the incident that holds the epoch; empty before the first.
        previous: the site that was active before it.
        kind: what the incident is, in its own words.
        done: whether that incident has ended.
    """

    model_config = ConfigDict(frozen=True)

    active: str
    epoch: int = 0
    incident: str = ""
    previous: str = ""
    kind: str = "failover"
    done: bool = True


def etcd_of(plan: Plan, first: str | None = None, timeout: float = 3.0) -> Etcd:
    """The plan's etcd, asked from the survivors' side: DR, archive, then the rest.

    Args:
        plan: the plan.
        first: a site whose member is asked first.
        timeout: seconds for one request to one member.
    """
    survivors_first = ("dr", "archive", "primary")
    order = sorted(plan.sites, key=lambda name: (name != first, survivors_first.index(plan.sites[name].role)))
    members: Sequence[str] = [address for name in order for address in plan.sites[name].addresses("etcd")]
    return Etcd(members, timeout)


def read_truth(plan: Plan) -> tuple[Truth, int]:
    """The record and its revision; before the first incident, the plan's primary site is active.

    Raises:
        Transient: etcd has no quorum; unknown is not a truth.
    """
    entry = etcd_of(plan).get(truth_key(plan))
    return truth_in(plan, entry), entry.revision


def truth_in(plan: Plan, entry: Entry) -> Truth:
    """The truth that was read from its key."""
    if entry.value is None:
        return Truth(active=plan.site_of("primary"))
    return Truth.model_validate_json(entry.value)


def active_site(plan: Plan) -> str:
    """The site that takes writes."""
    return read_truth(plan)[0].active


def open_incident(plan: Plan) -> str:
    """The incident that holds the epoch and has not ended; empty where there is none.

    Raises:
        Transient: etcd has no quorum.
    """
    truth, _ = read_truth(plan)
    return "" if truth.done else truth.incident


def claim(plan: Plan, incident: str, active: str, kind: str = "failover") -> Truth:
    """Take the next epoch for an incident that moves writes to a site; again for the same is no change.

    Raises:
        Refused: another incident is open, or took the epoch first.
    """
    truth, revision = read_truth(plan)
    if truth.incident == incident:
        return truth
    if not truth.done:
        raise Refused(
            "another incident is open",
            f"{truth.incident} moves {truth.previous} to {truth.active}",
            f"resume it with `dr incident resume {truth.incident}`",
        )
    mine = Truth(
        active=active, epoch=truth.epoch + 1, incident=incident, previous=truth.active, kind=kind, done=False
    )
    if not etcd_of(plan).swap(truth_key(plan), mine.model_dump_json(), revision):
        raise Refused("another run took the epoch first", f"epoch {mine.epoch}", "look at its incident")
    return mine


def go_on_as(plan: Plan, mine: Truth, kind: str) -> None:
    """Have the incident that holds the epoch be of another kind: by that, whoever resumes it goes on.

    Raises:
        Refused: a later incident took over.
    """
    now, revision = read_truth(plan)
    if now != mine:
        raise Refused("another run changed the record first", f"epoch {now.epoch}, {now.incident}")
    changed = now.model_copy(update={"kind": kind})
    if not etcd_of(plan).swap(truth_key(plan), changed.model_dump_json(), revision):
        raise Refused("another run changed the record first", now.incident)


def require_epoch(plan: Plan, mine: Truth) -> None:
    """Refuse to act for an incident that no longer holds the epoch.

    Raises:
        Refused: a later incident took over.
    """
    now, _ = read_truth(plan)
    if now.epoch != mine.epoch or now.incident != mine.incident:
        raise Refused("this run is stale", f"epoch {mine.epoch}, now {now.epoch} by {now.incident}")


def close(plan: Plan, mine: Truth) -> None:
    """Mark the incident as ended; the site it made active stays active.

    Raises:
        Refused: a later incident took over.
    """
    now, revision = read_truth(plan)
    if now.epoch != mine.epoch:
        raise Refused("this run is stale", f"epoch {mine.epoch}, now {now.epoch} by {now.incident}")
    done = now.model_copy(update={"done": True})
    if not etcd_of(plan).swap(truth_key(plan), done.model_dump_json(), revision):
        raise Refused("another run changed the record first", now.incident)


def abandon(plan: Plan, mine: Truth) -> None:
    """Give an incident up that moved nothing: the site that was active stays so, in an epoch of its own.

    Raises:
        Refused: a later incident took over.
    """
    now, revision = read_truth(plan)
    if now.epoch != mine.epoch or now.incident != mine.incident:
        raise Refused("this run is stale", f"epoch {mine.epoch}, now {now.epoch} by {now.incident}")
    back = now.model_copy(
        update={"active": now.previous, "previous": now.active, "epoch": now.epoch + 1, "done": True}
    )
    if not etcd_of(plan).swap(truth_key(plan), back.model_dump_json(), revision):
        raise Refused("another run changed the record first", now.incident)


def truth_key(plan: Plan) -> str:
    """Where the truth lies in etcd."""
    return f"/naas-dr/{plan.service.name}/truth"
