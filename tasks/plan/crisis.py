"""Who outside is told of a disaster, in which words, and what is owed to whom by when.

Source: the seed's "Crisis Communication"; "Stakeholder Notification" of its "Disaster Declaration Process".
"""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.plan.base import Block
from tasks.plan.communication import Template, TemplateText
from tasks.plan.public_channels import PhoneNumber, PublicChannels
from tasks.plan.schedule import Schedule
from tasks.plan.status_page import StatusPage
from tasks.plan.values import Duration, Flag, Name, SecretRef, Sentence, matching, refusal

PublicChannel = Literal["status_page", "statuspage", "email", "sms", "x", "linkedin"]
PersonalChannel = Literal["email", "sms"]
Phase = Literal["disrupted", "update", "restored"]
Language = Annotated[str, matching(r"[a-z]{2,3}(-[A-Z][A-Za-z]{1,3})?", "a language such as 'de' or 'pt-BR'")]
OWN_LANGUAGE = "en"
"""The language of the seed's templates, and of whoever has no other."""
PERSONAL: tuple[PersonalChannel, ...] = ("email", "sms")


def _each_once(channels: tuple[PublicChannel, ...]) -> tuple[PublicChannel, ...]:
    if len(set(channels)) < len(channels):
        raise refusal("a channel again", "each channel once")
    return channels


Channels = Annotated[tuple[PublicChannel, ...], AfterValidator(_each_once)]


class Audience(Block):
    """People outside who are told the same.

    Attributes:
        channels: through what they are told; through all of them.
        otherwise: through what as well where one of those does not take it.
        subscribers: whom email and SMS reach: a CSV with the columns channel, address, language and timezone.
        approve: the phases whose words a commander approves before they are said.
    """

    channels: Annotated[Channels, Field(min_length=1)]
    otherwise: Channels = ()
    subscribers: SecretRef | None = None
    approve: tuple[Phase, ...] = ()

    @model_validator(mode="after")
    def _reaches_somebody(self) -> Self:
        both = (*self.channels, *self.otherwise)
        if set(self.channels) & set(self.otherwise):
            raise refusal("a channel is its own stand-in", "other channels in `otherwise`")
        if set(both) & set(PERSONAL) and self.subscribers is None:
            raise refusal("nobody is subscribed", "`subscribers` where there is email or sms")
        return self


class Wording(Block):
    """The public words in one language; in English the templates are the seed's.

    Attributes:
        incident_notification: what is said when a disaster is declared.
        update_notification: what is said until it is over.
        resolution_notification: what is said when the service is there again.
        impact: what users notice.
        moving: what is being done.
        restored: what was done.
        cause: why, as far as it is said before the review.
        stayed: what was done where the disaster was none.
    """

    incident_notification: Template
    update_notification: Template
    resolution_notification: Template
    impact: TemplateText
    moving: TemplateText
    restored: TemplateText
    cause: TemplateText
    stayed: TemplateText


class OwnWording(Block):
    """The English words that the seed's two templates leave open."""

    update_notification: Template
    impact: TemplateText = "[service_name] is disrupted."
    moving: TemplateText = "We are moving the service to another region."
    restored: TemplateText = "The service was moved to another region and runs there."
    cause: TemplateText = "A region that we run in was lost; our review will say more."
    stayed: TemplateText = "The service is there again where it was."


class Call(Block):
    """A major customer who is called in person.

    Attributes:
        customer: who they are.
        phone: under which number.
        by: who calls.
        within: how soon after the declaration.
    """

    customer: Sentence
    phone: PhoneNumber
    by: Sentence
    within: Duration = timedelta(hours=1)


class Filing(Block):
    """A report that a regulator must have.

    Attributes:
        authority: whose form it is.
        owner: who files it.
        within: how soon after the detection.
        form: what it says, with the placeholders of the communication templates.
    """

    authority: Sentence
    owner: Sentence
    within: Duration
    form: TemplateText


class Review(Block):
    """The post-incident review: who owes it, and how soon after the end."""

    owner: Sentence
    within: Duration = timedelta(hours=48)


class CrisisCommunication(Block):
    """What is said outside, and what is owed.

    Attributes:
        rehearse: nothing leaves; what would be said is on record. For a plan that is tried.
        look: how often it is looked for what is due.
        republish: when the status page is published anew though nothing is said.
        audiences: who is told.
        channels: where the public channels lead.
        status_page: our own status page.
        wording: the English words beside the seed's templates.
        translations: the words in other languages.
        update_every: after how long there is news, whether or not anything has happened.
        remind: how long before an update is due somebody is reminded of it.
        approve_within: how long the approval of public words may take.
        calls: who is called in person.
        filings: what regulators must have.
        review: the review after the end.
    """

    rehearse: Flag = False
    look: Duration = timedelta(seconds=5)
    republish: Schedule = Schedule.model_validate("every 2 hours")
    audiences: Annotated[dict[Name, Audience], Field(min_length=1)]
    channels: PublicChannels = Field(default_factory=PublicChannels)
    status_page: StatusPage | None = None
    wording: OwnWording
    translations: dict[Language, Wording] = Field(default_factory=dict)
    update_every: Duration = timedelta(minutes=30)
    remind: Duration = timedelta(minutes=5)
    approve_within: Duration = timedelta(minutes=10)
    calls: dict[Name, Call] = Field(default_factory=dict)
    filings: dict[Name, Filing] = Field(default_factory=dict)
    review: Review

    @model_validator(mode="after")
    def _reminds_in_time(self) -> Self:
        if self.remind >= self.update_every:
            raise refusal("it would remind before the last update", "`remind` shorter than `update_every`")
        return self
