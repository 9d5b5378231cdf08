"""What is wrong with a plan, in words an operator can act on."""

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import Refused
from tasks.plan.base import Block

_WORDS = {
    "missing": ("missing", "this key is required"),
    "bool_type": ("not a boolean", "true or false, without quotes"),
    "int_type": ("not an integer", "a whole number, without quotes"),
    "string_type": ("not a text", "a text; quote what YAML would read as something else"),
    "tuple_type": ("not a list", "a list"),
    "dict_type": ("not a mapping", "a mapping of keys to values"),
    "model_type": ("not a mapping", "a mapping of keys to values"),
    "invalid_key": (
        "a key that is not a text",
        "texts as keys; quote what YAML would read as something else",
    ),
    "too_short": ("too few entries", "at least one"),
}


class Mistake(NamedTuple):
    """One mistake: where it is, what is wrong, and what is allowed there."""

    path: str
    wrong: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.path}: {self.wrong}; {self.allowed}"


class PlanRefused(Refused):
    """The plan has mistakes.

    Attributes:
        mistakes: all of them, those of reading the file first.
    """

    def __init__(self, name: str, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__(
            f"{name} is refused: {count}", "\n".join(map(str, self.mistakes)), "correct the plan"
        )


def mistakes_in(error: ValidationError, block: str, kind: Any) -> list[Mistake]:
    """The mistakes that pydantic found in one block of a kind; no value is repeated, it may be a secret."""
    return [
        _mistake(details, block, kind) for details in error.errors(include_input=False, include_url=False)
    ]


def _mistake(details: ErrorDetails, block: str, kind: Any) -> Mistake:
    parts = [part for part in details["loc"] if part != "[key]"]
    path = ".".join([block, *map(str, parts)])
    context = details.get("ctx", {})
    match details["type"]:
        case "plan":
            return Mistake(path, context["wrong"], context["allowed"])
        case "extra_forbidden":
            return Mistake(path, "unknown key", f"one of {', '.join(_keys(kind, parts[:-1]))}")
        case "literal_error":
            return Mistake(path, "not a known value", f"one of {context['expected']}")
        case "greater_than_equal" | "less_than_equal":
            return Mistake(path, "out of range", details["msg"].replace("Input should be", "a number"))
        case other:
            return Mistake(path, *_WORDS.get(other, ("wrong", details["msg"].lower())))


def _keys(kind: Any, parts: Iterable[Any]) -> list[str]:
    """The keys that a block allows at the end of a path into it."""
    kind = _bare(kind)
    for part in parts:
        is_block = isinstance(kind, type) and issubclass(kind, Block)
        kind = _bare(kind.model_fields[part].annotation if is_block else _items(kind))
    return list(kind.model_fields)


def _items(kind: Any) -> Any:
    arguments = get_args(kind)
    return arguments[0] if get_origin(kind) is tuple else arguments[-1]


def _bare(kind: Any) -> Any:
    """A type without its Annotated and without its None."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, UnionType):
            kind = next(argument for argument in get_args(kind) if argument is not NoneType)
        else:
            return kind
