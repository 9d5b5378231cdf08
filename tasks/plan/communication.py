"""What is told to whom: the seed's communication_templates and alerting, and the channels' addresses."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from tasks.errors import Permanent
from tasks.plan.base import Block, Phrase
from tasks.plan.paging import Heartbeat, PagingPolicy
from tasks.plan.values import Duration, HttpsServer, Key, SecretRef, Sentence, in_words, matching, refusal

Severity = Literal["critical", "warning", "info"]
ChannelName = Literal["pagerduty", "slack", "email"]

PLACEHOLDERS = (
    "service_name",
    "start_time",
    "impact_description",
    "current_status",
    "next_update_time",
    "resolution_time",
    "root_cause_summary",
    "resolution_summary",
    "incident",
    "failed_site",
    "recovery_site",
)
# What nobody knows while an incident lasts, and what nobody owes once it is over.
KNOWN_AFTER = frozenset({"resolution_time", "resolution_summary"})
KNOWN_DURING = frozenset({"next_update_time"})
_PLACEHOLDER = re.compile(r"\[([^\[\]]*)\]")
_LEVEL = re.compile(r"level_([1-9])")
_ALERTS = re.compile(r"((?:critical|warning|info)(?:(?:, | and )(?:critical|warning|info))*) alerts")
_SUMMARIES = re.compile(r"(daily|weekly) summary reports")
EmailAddress = Annotated[str, matching(r"[^@\s]+@[^@\s]+", "an address such as 'dr@example.org'")]


def _word(placeholder: str) -> str:
    return placeholder.strip().lower().replace(" ", "_")


def _known(text: str) -> str:
    unknown = [found for found in _PLACEHOLDER.findall(text) if _word(found) not in PLACEHOLDERS]
    if unknown:
        raise refusal(f"unknown placeholder [{unknown[0]:.40}]", ", ".join(f"[{p}]" for p in PLACEHOLDERS))
    return text


TemplateText = Annotated[Sentence, AfterValidator(_known)]


class Template(Block):
    """A message with [placeholders]; "[Service Name]" and "[service_name]" are the same one."""

    subject: TemplateText
    template: TemplateText

    @property
    def placeholders(self) -> frozenset[str]:
        """What `fill` needs."""
        return frozenset(_word(found) for found in _PLACEHOLDER.findall(self.subject + self.template))

    def fill(self, values: Mapping[str, str]) -> tuple[str, str]:
        """The subject and the text with every placeholder replaced.

        Raises:
            Permanent: a value is missing or blank; a customer never reads a bare placeholder.
        """
        missing = {name for name in self.placeholders if not values.get(name, "").strip()}
        if missing:
            raise Permanent("the message lacks values", ", ".join(sorted(missing)))
        subject, text = (
            _PLACEHOLDER.sub(lambda match: values[_word(match[1])], part)
            for part in (self.subject, self.template)
        )
        return subject, text


class CommunicationTemplates(Block):
    """Seed, "Communication Templates"."""

    incident_notification: Template
    resolution_notification: Template


class EscalationLevel(Phrase):
    """Who is told, and how long they have until the next level is."""

    level: int
    recipient: Key
    timeout: Duration

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read `- level_1: "on_call_engineer"` with its `timeout`."""
        if not isinstance(value, dict):
            raise refusal("not an escalation level", "a mapping of level_1 (level_2, ...) and timeout")
        levels = [match for key in value if isinstance(key, str) and (match := _LEVEL.fullmatch(key))]
        if len(levels) != 1 or not isinstance(value[levels[0][0]], str):
            raise refusal("who is told is missing", "one of level_1, level_2, level_3 and so on, with a name")
        rest = {key: item for key, item in value.items() if key != levels[0][0]}
        if rest.keys() - {"timeout"}:
            raise refusal("an unknown key", f"{levels[0][0]} and timeout")
        return {"level": int(levels[0][1]), "recipient": value[levels[0][0]], **rest}

    def written(self) -> dict[str, Any]:
        """The seed's mapping."""
        return {f"level_{self.level}": self.recipient, "timeout": in_words(self.timeout)}

    @property
    def channel(self) -> ChannelName | None:
        """The channel that the recipient's name ends in, as engineering_team_slack does."""
        return next((name for name in get_args(ChannelName) if self.recipient.endswith(f"_{name}")), None)


def _in_order(levels: tuple[EscalationLevel, ...]) -> tuple[EscalationLevel, ...]:
    if [level.level for level in levels] != list(range(1, len(levels) + 1)):
        raise refusal("levels out of order", "level_1, level_2 and so on, each once")
    return levels


EscalationPolicy = Annotated[tuple[EscalationLevel, ...], Field(min_length=1), AfterValidator(_in_order)]


class EscalationPolicies(Block):
    """The levels of each severity, in order."""

    critical: EscalationPolicy
    warning: EscalationPolicy

    def by_severity(self) -> dict[Severity, tuple[EscalationLevel, ...]]:
        """The levels of each severity, the most severe first."""
        return {"critical": self.critical, "warning": self.warning}


class NotificationChannel(Phrase):
    """A channel and what it carries: alerts of some severities, or a summary now and then."""

    name: ChannelName
    alerts: tuple[Severity, ...] = ()
    summaries: Literal["daily", "weekly"] | None = None

    @classmethod
    def parse(cls, value: Any) -> dict[str, Any]:
        """Read `- slack: "warning and info alerts"` or `- email: "daily summary reports"`."""
        if not isinstance(value, dict) or len(value) != 1:
            raise refusal("not one channel", "a mapping of a channel to what it carries")
        [(name, carries)] = value.items()
        if name not in get_args(ChannelName):
            raise refusal(f"{name!r:.40} is not a channel", ", ".join(get_args(ChannelName)))
        text = carries if isinstance(carries, str) else ""
        if match := _ALERTS.fullmatch(text):
            return {"name": name, "alerts": tuple(re.split(", | and ", match[1]))}
        if match := _SUMMARIES.fullmatch(text):
            return {"name": name, "summaries": match[1]}
        raise refusal(
            f"{carries!r:.60} is not what a channel carries",
            "'warning and info alerts', 'daily summary reports'",
        )

    def written(self) -> dict[str, str]:
        """The seed's one-key mapping."""
        if self.summaries:
            return {self.name: f"{self.summaries} summary reports"}
        return {self.name: f"{' and '.join(self.alerts)} alerts"}


class Alerting(Block):
    """Seed, "Alert Escalation"."""

    escalation_policies: EscalationPolicies
    notification_channels: Annotated[tuple[NotificationChannel, ...], Field(min_length=1)]

    @property
    def order(self) -> tuple[ChannelName, ...]:
        """All channels, in the order in which one stands in for another."""
        return tuple(channel.name for channel in self.notification_channels)

    def carrying(self, severity: Severity) -> list[ChannelName]:
        """The channels that carry a severity's alerts."""
        return [channel.name for channel in self.notification_channels if severity in channel.alerts]

    def reaching(self, severity: Severity, level: EscalationLevel) -> list[ChannelName]:
        """The channels that reach a level."""
        return [level.channel] if level.channel else self.carrying(severity)

    def standing_in(self, channel: ChannelName, severity: Severity) -> list[ChannelName]:
        """The channels that are told what another one did not take; only what is critical wakes anybody."""
        waking = () if severity == "critical" else self.carrying("critical")
        return [other for other in self.order if other != channel and other not in waking]

    def stood_in_for(self) -> list[tuple[ChannelName, Severity]]:
        """Each channel and severity that another channel stands in for."""
        return [
            (channel, severity)
            for channel in self.order
            for severity, policy in self.escalation_policies.by_severity().items()
            if any(channel in self.reaching(severity, level) for level in policy)
            and self.standing_in(channel, severity)
        ]


class Pagerduty(Block):
    """Where pages go; `endpoint` is the Events API, or a proxy that stands for it.

    With `escalation` PagerDuty takes a page from level to level itself.
    """

    routing_key: SecretRef
    endpoint: HttpsServer = "https://events.pagerduty.com"
    escalation: PagingPolicy | None = None


class Slack(Block):
    """Where chat messages go: to the webhook, or as the app of `token` to the channel, through `endpoint`."""

    webhook: SecretRef
    channel: Annotated[str, matching(r"#[a-z0-9_-]+", "a channel such as '#incidents'")]
    token: SecretRef | None = None
    endpoint: HttpsServer = "https://slack.com"


class Smtp(Block):
    """Through which host:port mail leaves, and as whom where that smarthost wants a login."""

    smarthost: Annotated[str, matching(r"[^\s:]+:[0-9]{1,5}", "host:port")]
    user: Sentence | None = None
    password: SecretRef | None = None

    @property
    def on_this_machine(self) -> bool:
        """Whether the smarthost is where the mail is sent from: nobody is in between."""
        host = self.smarthost.rpartition(":")[0]
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise refusal("half a login", "user and password, or neither")
        return self


class Email(Smtp):
    """Where mail goes, and from whom."""

    to: EmailAddress
    sender: EmailAddress


class Notifications(Block):
    """The addresses behind the channels, which the seed leaves open."""

    pagerduty: Pagerduty | None = None
    slack: Slack | None = None
    email: Email | None = None
    heartbeat: Heartbeat | None = None
