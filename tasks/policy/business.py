"""The business impact analysis as a picture: processes, the services that carry them, their ground. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.plan.business import Process
from tasks.plan.checks.business import tiers_of
from tasks.plan.plan import Plan
from tasks.plan.values import in_words
from tasks.policy.order import waves
from tasks.policy.picture import PAGES

_COLUMNS = (10, 370, 730)
_BOX, _TALL, _GAP = 240, 54, 20
_Place = tuple[int, str]


class Box(NamedTuple):
    """One thing of the picture."""

    name: str
    words: str
    kind: str
    x: int
    y: int


class Line(NamedTuple):
    """That one thing needs another, drawn from the first to the second."""

    x1: int
    y1: int
    x2: int
    y2: int
    bend: int


def impact_page(plan: Plan) -> str:
    """The page of a plan's business impact analysis."""
    boxes = _boxes(plan)
    lines = [_line(boxes[one], boxes[other]) for one, other in _needs(plan)]
    return PAGES.get_template("impact.html.j2").render(
        service=plan.service.name,
        processes=ordered(plan.business_impact),
        boxes=boxes.values(),
        lines=lines,
        width=_COLUMNS[-1] + _BOX + 20,
        height=max(box.y for box in boxes.values()) + _TALL + _GAP,
        box=(_BOX, _TALL),
        words=in_words,
    )


def ordered(processes: Mapping[str, Process]) -> Sequence[tuple[str, Process]]:
    """The processes in the order in which the business needs them back."""
    turns = {name: each.turn for name, each in processes.items()}
    return [(name, processes[name]) for wave in waves(turns) for name in wave]


def _boxes(plan: Plan) -> dict[_Place, Box]:
    """Every thing by its column and its name: a process may have a service's name."""
    columns = (
        [(name, _process_words(each), _kind(each)) for name, each in ordered(plan.business_impact)],
        [(name, f"{tier} tier", "service") for name, tier in _services(plan)],
        [(name, words, "base") for name, words in _bases(plan)],
    )
    return {
        (column, name): Box(name, words, kind, _COLUMNS[column], _GAP + row * (_TALL + _GAP))
        for column, things in enumerate(columns)
        for row, (name, words, kind) in enumerate(things)
    }


def _needs(plan: Plan) -> list[tuple[_Place, _Place]]:
    processes = plan.business_impact.items()
    return [
        *(((0, name), (0, wanted)) for name, each in processes for wanted in each.depends_on),
        *(((0, name), (1, wanted)) for name, each in processes for wanted in each.services),
        *(((1, name), (1, wanted)) for name, turn in plan.turns.items() for wanted in turn.depends_on),
        *(((1, plan.service.name), (2, base)) for base, _ in _bases(plan)),
    ]


def _services(plan: Plan) -> list[tuple[str, str]]:
    tiers = tiers_of(plan.service, plan.services)
    return [(name, tiers[name]) for wave in waves(plan.turns) for name in wave]


def _bases(plan: Plan) -> list[tuple[str, str]]:
    """What the main service stands on, and what of it is protected."""
    assets = [asset for asset in plan.protection.assets() if asset not in {"database", "redis"}]
    kept = ", ".join(assets)
    return [
        ("PostgreSQL", plan.postgresql_ha.cluster_name),
        ("Redis", "Sentinel at each site"),
        ("assets", kept),
    ]


def _process_words(process: Process) -> str:
    return f"endures {in_words(process.tolerable_outage)}, loses {in_words(process.tolerable_loss)}"


def _kind(process: Process) -> str:
    return "critical" if process.critical else "process"


def _line(one: Box, other: Box) -> Line:
    """From a box's right edge to the other's left one; within a column along its left side."""
    middle = _TALL // 2
    if one.x == other.x:
        return Line(one.x, one.y + middle, other.x, other.y + middle, one.x - 40)
    return Line(one.x + _BOX, one.y + middle, other.x, other.y + middle, (one.x + _BOX + other.x) // 2)
