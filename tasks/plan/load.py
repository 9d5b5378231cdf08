"""The door to a plan: all of its mistakes at once, or the plan."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from tasks.plan.checks import cross_check
from tasks.plan.document import read_document
from tasks.plan.mistakes import Mistake, PlanRefused, mistakes_in
from tasks.plan.plan import Plan

_HINTS = get_type_hints(Plan, include_extras=True)
_BLOCKS: dict[str, Any] = {name: _HINTS[name] for name in Plan.model_fields}


def load_plan(path: Path) -> Plan:
    """Read and check a whole plan; its secrets' references start in its own folder.

    Raises:
        PlanRefused: with every mistake found.
        Refused: the file cannot be read.
    """
    data, mistakes = read_document(path)
    lacking = {name: field for name, field in Plan.model_fields.items() if name not in data}
    required = [name for name, field in lacking.items() if field.is_required()]
    missing = (Mistake(name, "missing", "this block is required") for name in required)
    given = {
        name: field.get_default(call_default_factory=True)
        for name, field in lacking.items()
        if name not in required
    }
    _refuse(path, [*mistakes, *missing, *_mistakes(data, given)])
    return Plan.model_validate(data, context={"folder": path.resolve().parent})


def load_fragment(path: Path) -> tuple[str, ...]:
    """Check a file that holds only some blocks; blocks are checked against each other where both are there.

    Returns:
        The names of the blocks it holds.

    Raises:
        PlanRefused: with every mistake found.
        Refused: the file cannot be read.
    """
    data, mistakes = read_document(path)
    _refuse(path, [*mistakes, *_mistakes(data, {})])
    return tuple(data)


def _mistakes(data: dict[Any, Any], given: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes in what was read, seen together with the blocks that are given."""
    parsed = dict(given)
    for name, value in data.items():
        if name not in _BLOCKS:
            yield Mistake(str(name), "unknown key", f"one of {', '.join(_BLOCKS)}")
            continue
        try:
            parsed[name] = TypeAdapter(_BLOCKS[name]).validate_python(value)
        except ValidationError as error:
            yield from mistakes_in(error, name, _BLOCKS[name])
    yield from cross_check(parsed)


def _refuse(path: Path, mistakes: Iterable[Mistake]) -> None:
    if found := tuple(dict.fromkeys(mistakes)):
        raise PlanRefused(path.name, found)
