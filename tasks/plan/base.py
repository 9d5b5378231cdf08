"""What every block of the plan is: frozen, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """One block of the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")
