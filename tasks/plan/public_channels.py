"""The public channels' settings: the seed's "Communication Channels", as far as machines serve them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.plan.base import Block
from tasks.plan.communication import EmailAddress, Smtp
from tasks.plan.values import Flag, HttpsServer, Integer, Name, SecretRef, matching, refusal

PHONE_NUMBER = r"\+[1-9][0-9]{6,14}"
PhoneNumber = Annotated[str, matching(PHONE_NUMBER, "an E.164 number such as '+4930123456'")]
_Id = Annotated[str, matching(r"[A-Za-z0-9_-]{1,64}", "an id of letters, digits, _ and -")]


class Statuspage(Block):
    """A page of Atlassian Statuspage, and its component that an incident affects.

    `outage` is the component's status while it lasts; `tells_subscribers` whether Statuspage mails its own.
    """

    page: _Id
    component: _Id
    api_key: SecretRef
    outage: Literal["degraded_performance", "partial_outage", "major_outage"] = "major_outage"
    tells_subscribers: Flag = True
    endpoint: HttpsServer = "https://api.statuspage.io"


class X(Block):
    """An account of X.

    `credentials` are JSON of consumer_key, consumer_secret, access_token and access_token_secret.
    """

    credentials: SecretRef
    endpoint: HttpsServer = "https://api.x.com"


class Linkedin(Block):
    """A page or person of LinkedIn; a version of its API lives for about a year, so the plan says which."""

    author: Annotated[
        str,
        matching(r"urn:li:(organization|person):[A-Za-z0-9_-]+", "a URN such as 'urn:li:organization:123'"),
    ]
    token: SecretRef
    version: Annotated[str, matching(r"20[0-9]{2}(0[1-9]|1[0-2])", "a quoted month such as '202611'")]
    endpoint: HttpsServer = "https://api.linkedin.com"


class Amazon(Block):
    """A region of Amazon's, and JSON of access_key and secret_key.

    The certificate of an `endpoint` of one's own goes back to the plan's authority.
    """

    region: Name
    credentials: SecretRef
    endpoint: HttpsServer | None = None


class PublicEmail(Block):
    """Mail to subscribers, one each: through a smarthost (`smtp`) or Amazon SES (`ses`)."""

    sender: EmailAddress
    unsubscribe: (
        Annotated[
            str,
            matching(r"(https://|mailto:)[!-;=?-~]+", "an address that begins with https:// or mailto:"),
        ]
        | None
    ) = None
    smtp: Smtp | None = None
    ses: Amazon | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.smtp is None) == (self.ses is None):
            raise refusal("no single way for mail", "either smtp or ses")
        return self


class Sms(Amazon):
    """Text messages by Amazon SNS: from which name where the country shows one, of how many parts at most."""

    sender: (
        Annotated[
            str,
            matching(
                r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?",
                "1 to 11 letters, digits and hyphens, one letter at least",
            ),
        ]
        | None
    ) = None
    segments: Annotated[Integer, Field(ge=1, le=10)] = 2


class PublicChannels(Block):
    """The channels that reach the public; one that is left out is not used."""

    statuspage: Statuspage | None = None
    email: PublicEmail | None = None
    sms: Sms | None = None
    x: X | None = None
    linkedin: Linkedin | None = None
