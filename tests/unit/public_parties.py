"""The public channels' settings, leading to an edge or to whoever answers on loopback."""

from third_parties import ADDRESS

from infra.edge.addresses import our_public_channels, public_secrets
from tasks.clients.public import linkedin, mail, sms, statuspage, x
from tasks.clients.public.words import Words
from tasks.plan.public_channels import PublicChannels

SUBSCRIBER = "ann@example.org"
NUMBER = "+4930123456"
LINK = "https://status.example.org"
DOWN = Words(
    "inc-1/disrupted/1",
    "inc-1",
    "disrupted",
    "Service Disruption - naas",
    f"Orders fail since 12:00 UTC.\n\nSee {LINK}",
)
WRITTEN = {
    "statuspage": {"page": "page1", "component": "api1", "api_key": "file:secrets/statuspage"},
    "email": {
        "sender": "status@example.org",
        "unsubscribe": "https://example.org/unsubscribe",
        "smtp": {"smarthost": "mail.example.org:587"},
    },
    "sms": {"region": "eu-west-1", "credentials": "file:secrets/amazon", "sender": "NAAS"},
    "x": {"credentials": "file:secrets/x"},
    "linkedin": {"author": "urn:li:organization:1", "token": "file:secrets/linkedin", "version": "202611"},
}
SECRETS = {
    "statuspage": "the-key-of-the-page",
    "linkedin": "the-token-of-linkedin",
    **{reference.removeprefix("file:secrets/"): text for reference, text in public_secrets().items()},
}
SES = {**WRITTEN["email"], "smtp": None, "ses": {"region": "eu-west-1", "credentials": "file:secrets/amazon"}}


def channels(plans, web=9, smtp=9):
    """Every channel leading to these ports, with secrets that the edge takes."""
    for name, text in SECRETS.items():
        # Others may be reading what is there.
        if not (plans.folder / "secrets" / name).exists() or plans.secret(name) != text:
            plans.write(name, text)
    return PublicChannels.model_validate(our_public_channels(WRITTEN, ADDRESS, (web, smtp)))


def by_ses(plans, web=9):
    """The settings of mail through Amazon SES."""
    channels(plans)
    return PublicChannels.model_validate(our_public_channels({"email": SES}, ADDRESS, (web, 9))).email


def _publish(module):
    name = module.__name__.rpartition(".")[2]
    return lambda plans, web, words: module.publish(plans.plan, getattr(channels(plans, web), name), words)


TELL = {
    "statuspage": _publish(statuspage),
    "x": _publish(x),
    "linkedin": _publish(linkedin),
    "sms": lambda plans, web, words: sms.send(plans.plan, channels(plans, web).sms, words, NUMBER),
    "email": lambda plans, web, words: mail.send(plans.plan, by_ses(plans, web), words, SUBSCRIBER),
}
"""What tells each channel over HTTPS at a port; mail goes by SES."""
