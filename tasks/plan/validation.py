"""How a recovery is validated: the seed's "Recovery Validation", as checks that a service defines itself.

In paths, bodies, expected values, queries, keys and arguments, `{id}` is a fresh UUID of the run and `{site}`
the site that is validated; in arguments also `{host}`, `{address}` and `{root}`.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.plan.base import Block
from tasks.plan.http_probe import HttpProbe, RequestPath
from tasks.plan.sites import Program
from tasks.plan.values import Duration, Integer, Key, Name, Port, Sentence, matching, refusal

Suite = Literal["smoke", "integration", "performance", "security"]
Privilege = Literal["select", "insert", "update", "delete", "truncate", "references", "trigger"]
Relation = Annotated[
    str, matching(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*", "a table with its schema, such as 'public.orders'")
]
Ratio = Annotated[float, Field(gt=0, le=1000)]


class SqlProbe(Block):
    """One read-only query.

    It must return no row, or, where `expect` is given, one row whose first column is that, as PostgreSQL
    writes it. With node `standby` every other node of the site is asked, again and again until `within` is
    over.
    """

    query: Sentence
    node: Literal["primary", "standby"] = "primary"
    expect: str | None = None
    within: Duration = timedelta(seconds=10)


class CacheProbe(Block):
    """One key of the site's Redis, whose JSON value must hold `fields`."""

    key: Sentence
    fields: dict[str, Any] = Field(default_factory=dict)


class CommandProbe(Block):
    """One program with its arguments, on every host of the site that runs `program`."""

    program: Program
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    exit_code: Annotated[Integer, Field(ge=0, le=254)] = 0
    within: Duration = timedelta(seconds=30)


class Probe(Block):
    """One check, of exactly one kind."""

    http: HttpProbe | None = None
    sql: SqlProbe | None = None
    cache: CacheProbe | None = None
    command: CommandProbe | None = None

    @property
    def kind(self) -> HttpProbe | SqlProbe | CacheProbe | CommandProbe:
        """The kind that it is of."""
        return next(each for each in (self.http, self.sql, self.cache, self.command) if each is not None)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(each is not None for each in (self.http, self.sql, self.cache, self.command)) != 1:
            raise refusal("not one kind of check", "exactly one of http, sql, cache, command")
        return self


class Check(Probe):
    """A check of the service's own, in one of the suites."""

    suite: Suite = "integration"


class WorkflowStep(Probe):
    """One step of the service's business workflow."""

    name: Name


class Performance(Block):
    """A bounded probe and how much worse than the recorded baseline it may be.

    `path` is read with GET; the high availability's first health check where empty. `limit` is the longest
    that one measurement takes.
    """

    path: RequestPath | None = None
    requests: Annotated[Integer, Field(ge=10, le=100_000)] = 300
    concurrency: Annotated[Integer, Field(ge=1, le=256)] = 4
    limit: Duration = timedelta(seconds=10)
    max_latency_ratio: Ratio = 3.0
    min_throughput_ratio: Annotated[float, Field(gt=0, le=1)] = 0.33


class PortRange(Block):
    """Ports from the first to the last."""

    first: Port = 1
    last: Port = 10_000


class Security(Block):
    """What the security suite holds a site against.

    `service_grants` is all that the service's role may do with tables; what it may is not judged where not
    given. `administration` may listen on every host, `listeners` on one, beside what its programs need.
    """

    certificates_valid_for: Duration = timedelta(days=14)
    service_grants: dict[Relation, tuple[Privilege, ...]] | None = None
    administration: tuple[Port, ...] = (22,)
    listeners: dict[Name, tuple[Port, ...]] = Field(default_factory=dict)
    scan: PortRange = PortRange()
    rotated_after_incident: tuple[Key, ...] = ()


class RecoveryValidation(Block):
    """The four suites; each must end within `deadline`."""

    deadline: Duration = timedelta(minutes=2)
    workflow: tuple[WorkflowStep, ...] = ()
    checks: dict[Name, Check] = Field(default_factory=dict)
    performance: Performance = Performance()
    security: Security = Security()
