"""The vantages' records in etcd, read together with what else etcd knows of a site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.clients.etcd import Entry, Etcd
from tasks.clients.patroni import leader_key_path
from tasks.clients.truth import Truth, truth_in, truth_key
from tasks.plan.plan import Plan


@dataclass(frozen=True)
class Board:
    """What etcd held at one moment.

    Attributes:
        truth: which site is active.
        held: whether the watched site's leader key is there, with a lease; never of a site with a DCS of its
            own, which the vantages judge alone: its fence asks for proof.
        unrenewed_s: for how many seconds that lease was not renewed; None where it has ended.
        records: each vantage's record.
        suspicion: the loss that the vantages agree on.
    """

    truth: Truth
    held: bool
    unrenewed_s: int | None
    records: Mapping[str, Entry]
    suspicion: Entry


def read_board(plan: Plan, etcd: Etcd, site: str, vantages: Sequence[str]) -> Board:
    """Read everything that concerns the watch of a site.

    Raises:
        Transient: etcd has no quorum.
    """
    keys = [truth_key(plan), leader_key_path(plan, site), suspicion_key(plan)]
    truth, leader, suspicion, *records = etcd.get_all([*keys, *(record_key(plan, it) for it in vantages)])
    held = leader.value is not None and leader.lease != 0
    return Board(
        truth=truth_in(plan, truth),
        held=held,
        unrenewed_s=etcd.unrenewed_s(leader.lease) if held else None,
        records=dict(zip(vantages, records, strict=True)),
        suspicion=suspicion,
    )


def record_key(plan: Plan, vantage: str) -> str:
    """Where a vantage's record lies."""
    return f"/naas-dr/{plan.service.name}/watch/{vantage}"


def suspicion_key(plan: Plan) -> str:
    """Where the loss that is agreed on lies; beside the records, for it is nobody's own."""
    return f"/naas-dr/{plan.service.name}/suspicion"
