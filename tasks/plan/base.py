"""What every block of the plan is: frozen, and closed to unknown keys."""

from abc import abstractmethod
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator


class Block(BaseModel):
    """One block of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phrase(Block):
    """A value that the plan writes in words, or as a mapping whose key is itself a value."""

    @classmethod
    @abstractmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """The fields that the plan's way of writing stands for.

        Raises:
            PydanticCustomError: it is not written that way.
        """

    @abstractmethod
    def written(self) -> Any:
        """The plan's way of writing it: what `parse` reads."""

    @model_validator(mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        return value if isinstance(value, cls) else cls.parse(value)

    @model_serializer(when_used="json")
    def _written(self: Self) -> Any:
        return self.written()
