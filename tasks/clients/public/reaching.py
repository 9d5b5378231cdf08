"""Whether the public could be told: servers are reached, secrets and lists read, nothing is said.

A disaster is a bad moment to learn that a token was withdrawn. Statuspage is asked with its key; X, LinkedIn
and Amazon have no question that whoever may write is sure to be allowed, so their servers are only reached.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tasks.clients.channels.reaching import knock, shake_hands
from tasks.clients.public import statuspage, x
from tasks.clients.public.amazon import client
from tasks.clients.public.subscribers import subscribers
from tasks.plan.crisis import CrisisCommunication
from tasks.plan.plan import Plan
from tasks.plan.public_channels import Amazon, Linkedin, PublicChannels, PublicEmail, X
from tasks.plan.references import read_secret

Reach = Callable[[], None]


def public_reachable(plan: Plan) -> Mapping[str, Reach]:
    """For each public channel and list of subscribers that the plan has, what reaches or reads it.

    Each raises:
        Transient: its server does not answer.
        Permanent: its server is not trusted or refuses, or its secret or list cannot be read.
    """
    crisis = plan.crisis_communication
    return dict(_channels(plan, crisis.channels)) | dict(_lists(plan, crisis)) if crisis else {}


def _channels(plan: Plan, there: PublicChannels) -> Iterator[tuple[str, Reach]]:
    if there.statuspage:
        yield "statuspage", partial(statuspage.reach, plan, there.statuspage)
    if there.x:
        yield "x", partial(_x, plan, there.x)
    if there.linkedin:
        yield "linkedin", partial(_linkedin, plan, there.linkedin)
    if there.email:
        yield "email to subscribers", partial(_mail, plan, there.email)
    if there.sms:
        yield "sms", partial(_amazon, plan, there.sms, "sns")


def _lists(plan: Plan, crisis: CrisisCommunication) -> Iterator[tuple[str, Reach]]:
    for name, audience in crisis.audiences.items():
        if audience.subscribers:
            yield f"subscribers of {name}", partial(_list, plan, audience.subscribers)


def _x(plan: Plan, settings: X) -> None:
    x.read_keys(plan, settings)
    shake_hands(plan, settings.endpoint)


def _linkedin(plan: Plan, settings: Linkedin) -> None:
    read_secret(plan.folder, settings.token)
    shake_hands(plan, settings.endpoint)


def _mail(plan: Plan, settings: PublicEmail) -> None:
    if settings.ses:
        _amazon(plan, settings.ses, "sesv2")
    if settings.smtp:
        knock(plan, settings.smtp)


def _amazon(plan: Plan, settings: Amazon, service: str) -> None:
    with client(plan, settings, service, service, hidden=()) as amazon:
        shake_hands(plan, amazon.meta.endpoint_url)


def _list(plan: Plan, reference: str) -> None:
    for _ in subscribers(plan, reference, "email"):  # every row is read and checked, whoever it is for
        pass
