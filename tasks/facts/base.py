"""What every fact is: one frozen observation."""

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """One frozen observation."""

    model_config = ConfigDict(frozen=True)
