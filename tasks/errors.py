"""The errors every floor speaks: what failed, the facts, the next action."""

from typing import Self


class DrError(Exception):
    """A failure told to a tired person.

    Attributes:
        message: what failed, in lower case.
        detail: the facts that were seen.
        hint: the next action.
    """

    def __init__(self, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail, hint)
        self.message = message
        self.detail = detail
        self.hint = hint

    @property
    def seen(self) -> str:
        """What failed and the facts, in one line, for a table."""
        return ": ".join(filter(None, (self.message, self.detail)))

    def adding(self, *facts: str) -> Self:
        """The same error, with further facts."""
        return type(self)(self.message, "; ".join(filter(None, (self.detail, *facts))), self.hint)

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail:
            parts.append(f"detail: {self.detail}")
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class Transient(DrError):
    """The same call may succeed later; retried until the step's deadline."""


class Permanent(DrError):
    """The same call fails again until something changes; never retried."""


class Refused(Permanent):
    """Nothing was touched: the request, or the state of the world, forbids it."""


class Unproven(Permanent):
    """Nothing proves that the old site takes no writes: a commander must decide whether to go on."""
