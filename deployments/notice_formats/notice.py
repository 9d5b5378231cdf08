"""What a notice from outside says, whatever its format, and what makes it acceptable."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from tasks.errors import Refused
from tasks.plan.plan import Plan

MAX_AGE = timedelta(hours=24)
# How far a sender's clock may be ahead of ours: a disaster is not refused for half a second.
SKEW = timedelta(minutes=1)
LONGEST = 300
_LONGEST_KEY = 200


@dataclass(frozen=True)
class Notice:
    """A site is said to be lost.

    Attributes:
        site: one of the plan's.
        reason: what happened, in the sender's words.
        detected_at: when it began, as the sender saw it; None where it does not say.
        severity: in the sender's words.
        source: the format's name.
        key: what the sender calls it, the same each time it is sent; empty where it calls it nothing.
    """

    site: str
    reason: str
    detected_at: datetime | None
    severity: str
    source: str
    key: str

    @property
    def idempotency_key(self) -> str:
        """What makes it one run, however often it is sent; one event of two sites is two."""
        key = self.key if len(self.key) <= _LONGEST_KEY else hashlib.sha256(self.key.encode()).hexdigest()
        return f"notice:{self.source}:{self.site}:{key}"

    @property
    def evidence(self) -> str:
        """Who said so, in a line."""
        return words(f"{self.source}, severity {self.severity}: {self.key}")


class Form(BaseModel):
    """A part of a sender's format; what it holds beside that is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


F = TypeVar("F", bound=Form)


class CamelForm(Form):
    """A part of a format that writes eventArn for event_arn."""

    model_config = ConfigDict(alias_generator=to_camel)


def read(form: type[F], body: Any) -> F:
    """Read a body as a form.

    Raises:
        Refused: it is not such a form; every mistake is named by its place, its content is not repeated.
    """
    try:
        return form.model_validate(body)
    except ValidationError as error:
        raise _not_understood(error) from None


def _not_understood(error: ValidationError) -> Refused:
    mistakes = [
        f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}"
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return Refused("the notice is not understood", words("; ".join(mistakes)), "see the format's own fields")


def words(text: str, longest: int = LONGEST) -> str:
    """A sender's text as one line of printable characters, cut where it is longer than `longest`."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def known_site(plan: Plan, name: str) -> str:
    """A site that a sender names by the plan's name.

    Raises:
        Refused: the plan has no such site.
    """
    if name not in plan.sites:
        allowed = ", ".join(plan.sites)
        raise Refused(
            f"the plan has no site {words(name, 63)!r}", f"its sites are {allowed}", "name one of them"
        )
    return name


def labelled_site(plan: Plan, labels: Mapping[str, str]) -> str | None:
    """The site that labels mean: `site` is the plan's name, `region` the provider's.

    Returns:
        None where the region is not one of the plan's.

    Raises:
        Refused: neither label is there, or the plan has no such site.
    """
    if site := labels.get("site"):
        return known_site(plan, site)
    if region := labels.get("region"):
        return region if region in plan.sites else None
    raise Refused(
        "the notice names no site", "it has neither the label site nor region", "give it one of them"
    )


def admit(notice: Notice, now: datetime) -> Notice:
    """The notice with its moment and its key, as a run gets it.

    One without a key of its own and without a moment is one with all others of its site and hour.

    Raises:
        Refused: it is of the future, or older than MAX_AGE.
    """
    at = notice.detected_at or now
    if at > now + SKEW:
        raise Refused(
            "the notice is of the future", f"{at.isoformat()}, now {now.isoformat()}", "set the clock"
        )
    if now - at > MAX_AGE:
        hint = "declare it by hand if it still lasts: `dr trigger fail-over`"
        raise Refused("the notice is older than 24 hours", f"{at.isoformat()}, now {now.isoformat()}", hint)
    key = words(notice.key, len(notice.key)) or f"{now:%Y-%m-%dT%H}"
    return replace(notice, detected_at=min(at, now).astimezone(UTC), key=key)


def admitted(notices: Iterable[Notice], now: datetime) -> list[Notice]:
    """Of the acceptable notices the earliest of each site: what is sent together is one event.

    Raises:
        Refused: there were some, and none is acceptable.
    """
    good, refusals = [], []
    for notice in notices:
        try:
            good.append(admit(notice, now))
        except Refused as refusal:
            refusals.append(refusal)
    if refusals and not good:
        raise refusals[0]
    latest_first = sorted(good, key=lambda notice: (notice.detected_at or now, notice.key), reverse=True)
    return list({notice.site: notice for notice in latest_first}.values())
