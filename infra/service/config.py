"""What one instance of the service is told: addresses and files of passwords, never a password."""

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from tasks.errors import Permanent
from tasks.plan.base import Block
from tasks.plan.values import Flag, Integer, Key, Port, refusal


class Database(Block):
    """Where orders are kept: the site's PgBouncer."""

    host: str
    port: Port
    dbname: str
    user: str
    password_file: Path

    @property
    def password(self) -> str:
        """The password, read when it is needed."""
        return self.password_file.read_text().strip()


class Redis(Block):
    """Where reads are cached: the master that these Sentinels agree on, or the cluster of these nodes."""

    sentinels: tuple[str, ...] = ()
    sentinel_port: Port
    master_name: str
    nodes: tuple[str, ...] = ()
    port: Port = 6379
    password_file: Path

    @property
    def password(self) -> str:
        """The password, read when it is needed."""
        return self.password_file.read_text().strip()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.sentinels) == bool(self.nodes):
            raise refusal("Sentinels and nodes of a cluster", "one of the two")
        return self


class Config(Block):
    """One instance of the service: `flags` are the defaults, `capacity` requests are served at once."""

    listen: str
    port: Port
    site: str
    database: Database
    redis: Redis
    external_api: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    flags: Annotated[dict[Key, Flag], Field(default_factory=dict)]
    capacity: Annotated[Integer, Field(ge=2)] = 100


def read_config(path: Path) -> Config:
    """Read an instance's configuration.

    Raises:
        Permanent: the file is missing, is no JSON, or holds something else.
    """
    try:
        return Config.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise Permanent(f"{path} is no configuration of the service", str(error)) from error
