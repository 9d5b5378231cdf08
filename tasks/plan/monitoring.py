"""How the service is watched: the seed's monitoring."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tasks.plan.base import Block, Phrase
from tasks.plan.values import Duration, Integer, Names, Percentage, matching, refusal

DASHBOARDS = ("infrastructure", "application", "business")
LOG_DASHBOARDS = ("security", "application", "audit")
_ROTATIONS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
}


def _drawn(drawn: tuple[str, ...]) -> AfterValidator:
    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in drawn]
        if unknown:
            raise refusal(f"unknown dashboard {unknown[0]!r:.40}", ", ".join(drawn))
        return names

    return AfterValidator(check)


class Prometheus(Block):
    """Metrics."""

    retention: Duration
    scrape_interval: Duration
    alerting_rules: Annotated[
        str, matching(r"[A-Za-z0-9_-]+\.ya?ml", "a file name such as 'custom_rules.yml'")
    ]


class AlertingThrough(Phrase):
    """The notification channel that a tool's own alerts go through."""

    channel: str

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read "integrated with PagerDuty"."""
        if not isinstance(value, str) or not value.startswith("integrated with "):
            raise refusal(f"{value!r:.60} names no channel", "'integrated with PagerDuty' or another channel")
        return {"channel": value.removeprefix("integrated with ").lower()}

    def written(self) -> str:
        """The seed's words."""
        return f"integrated with {self.channel}"


class Grafana(Block):
    """Dashboards of metrics."""

    dashboards: Annotated[Names, _drawn(DASHBOARDS)]
    alerting: AlertingThrough


class Metrics(Block):
    """Metrics and their dashboards."""

    prometheus: Prometheus
    grafana: Grafana


class Rotation(Phrase):
    """How often a new index begins."""

    every: timedelta

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read "daily rotation"."""
        word = value.removesuffix(" rotation") if isinstance(value, str) and " rotation" in value else ""
        if word not in _ROTATIONS:
            raise refusal(
                f"{value!r:.60} is not a rotation", ", ".join(f"'{w} rotation'" for w in _ROTATIONS)
            )
        return {"every": _ROTATIONS[word]}

    def written(self) -> str:
        """The seed's words."""
        return next(f"{word} rotation" for word, every in _ROTATIONS.items() if every == self.every)


class Elasticsearch(Block):
    """Logs."""

    retention: Duration
    indices: Rotation
    replicas: Annotated[Integer, Field(ge=0, le=10)]


class Kibana(Block):
    """Dashboards of logs."""

    dashboards: Annotated[Names, _drawn(LOG_DASHBOARDS)]
    access_control: Literal["role-based"]


class Logging(Block):
    """Logs and their dashboards."""

    elasticsearch: Elasticsearch
    kibana: Kibana


class Jaeger(Block):
    """Traces."""

    sampling_rate: Percentage
    retention: Duration
    storage: Literal["elasticsearch"]


class Tracing(Block):
    """Traces."""

    jaeger: Jaeger


class Monitoring(Block):
    """Seed, "Monitoring Stack"."""

    metrics: Metrics
    logging: Logging
    tracing: Tracing
