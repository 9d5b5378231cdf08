"""Whether a channel's server can be reached, and the secret read, without telling anyone anything."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from tasks.clients.channels.failures import TIMEOUT_S
from tasks.clients.channels.trust import trusted
from tasks.errors import Permanent, Transient
from tasks.plan.communication import ChannelName, Pagerduty, Slack, Smtp
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret


def reachable(plan: Plan) -> Mapping[ChannelName, Callable[[], None]]:
    """For each channel that the plan has, what reaches it.

    Each raises:
        Transient: its server does not answer.
        Permanent: its server shows no certificate that is trusted, or its secret cannot be read.
    """
    told, found = plan.notifications, dict[ChannelName, Callable[[], None]]()
    if told.pagerduty:
        found["pagerduty"] = partial(_pagerduty, plan, told.pagerduty)
    if told.slack:
        found["slack"] = partial(_slack, plan, told.slack)
    if told.email:
        found["email"] = partial(knock, plan, told.email)
    return found


def place_of(url: str) -> tuple[str, int]:
    """The host and port behind an https address."""
    place = urlsplit(url)
    return place.hostname or "", place.port or 443


def places(plan: Plan) -> dict[str, tuple[str, int]]:
    """Where each channel's server is: host and port.

    Raises:
        Permanent: a webhook, which is a secret, cannot be read.
    """
    told, found = plan.notifications, dict[str, tuple[str, int]]()
    if told.pagerduty:
        found["pagerduty"] = place_of(told.pagerduty.endpoint)
    if told.slack:
        found["slack"] = place_of(_slack_url(plan, told.slack))
    if told.email:
        found["email"] = _smarthost(told.email)
    return found


def knock(plan: Plan, settings: Smtp) -> None:
    """See that a smarthost answers and that its password can be read; nothing is sent.

    Raises:
        Transient: it does not answer.
        Permanent: the password cannot be read.
    """
    if settings.password:
        read_secret(plan.folder, settings.password)
    host, port = _smarthost(settings)
    try:
        with smtplib.SMTP(host, port, local_hostname="localhost", timeout=TIMEOUT_S) as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        raise Transient(f"{settings.smarthost} does not answer", type(error).__name__) from error


def shake_hands(plan: Plan, url: str) -> None:
    """TLS up to the certificate; the path, which may be a secret, goes nowhere.

    Raises:
        Transient: nobody answers.
        Permanent: the certificate is not trusted.
    """
    host, port = place_of(url)
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as plain:
            trusted(plan).wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        raise Permanent(f"the certificate of {host}:{port} is not trusted", error.verify_message) from None
    except OSError as error:
        raise Transient(f"{host}:{port} does not answer", type(error).__name__) from None


def _slack_url(plan: Plan, settings: Slack) -> str:
    return settings.endpoint if settings.token else read_secret(plan.folder, settings.webhook)


def _smarthost(settings: Smtp) -> tuple[str, int]:
    host, _, port = settings.smarthost.rpartition(":")
    return host, int(port)


def _pagerduty(plan: Plan, settings: Pagerduty) -> None:
    read_secret(plan.folder, settings.routing_key)
    shake_hands(plan, settings.endpoint)


def _slack(plan: Plan, settings: Slack) -> None:
    if settings.token:
        read_secret(plan.folder, settings.token)
    shake_hands(plan, _slack_url(plan, settings))
