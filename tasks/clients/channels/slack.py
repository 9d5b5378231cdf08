"""Slack: an incoming webhook, or the Web API where the plan gives a token."""

import logging
from urllib.parse import urlsplit

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from tasks.clients.channels.failures import TIMEOUT_S, Answered, of_http, told
from tasks.clients.channels.message import Message
from tasks.clients.channels.trust import trusted
from tasks.errors import Permanent
from tasks.plan.communication import Slack
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

# The library logs the webhook's address with its failures; it knows a logger without a level as one for all.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.setLevel(logging.CRITICAL + 1)
# The Web API's own words for "try again", which come with status 200.
_PASSING = frozenset(
    {"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)


def send(plan: Plan, message: Message) -> str:
    """Post one message.

    Returns:
        Slack's own receipt: "ok", or the message's timestamp.

    Raises:
        Busy: 429; `seconds` is its Retry-After.
        Transient: no answer in time, 5xx, or an answer that is not Slack's.
        Permanent: the message, the webhook or the token is refused.
    """
    settings = plan.notifications.slack
    if settings is None:
        raise Permanent("the plan has no notifications.slack")
    text = f"*{_plain(message.subject)}*\n{_plain(message.text)}\n{message.incident}: {message.stage}"
    return _by_token(plan, settings, text) if settings.token else _by_webhook(plan, settings, text)


def _by_webhook(plan: Plan, settings: Slack, text: str) -> str:
    url = read_secret(plan.folder, settings.webhook)
    with told("slack", [url, url.partition("//")[2].partition("/")[2]]):
        if urlsplit(url).scheme != "https":
            raise Permanent("the webhook is no https address", hint="see notifications.slack.webhook")
        client = WebhookClient(url, timeout=TIMEOUT_S, ssl=trusted(plan), logger=_SILENT, retry_handlers=[])
        client.proxy = None  # urllib reads the environment's proxies itself, and honours no_proxy
        answer = client.send(text=text)
        # A proxy that wants a login answers 200 as well.
        if answer.status_code != 200 or answer.body != "ok":
            raise of_http(answer.status_code, answer.body, answer.headers.get("Retry-After"))
    return str(answer.body)


def _by_token(plan: Plan, settings: Slack, text: str) -> str:
    token = read_secret(plan.folder, settings.token or "")
    with told("slack", [token]):
        client = WebClient(
            token,
            base_url=f"{settings.endpoint}/api/",
            timeout=TIMEOUT_S,
            ssl=trusted(plan),
            logger=_SILENT,
            retry_handlers=[],
        )
        client.proxy = None
        try:
            posted = client.chat_postMessage(channel=settings.channel, text=text)
        except SlackApiError as error:
            raise _answered(error) from None
    return str(posted["ts"])


def _answered(error: SlackApiError) -> Answered:
    answer = error.response
    said = str(answer.data.get("error", "")) if isinstance(answer.data, dict) else ""
    if answer.status_code == 200:
        return Answered(said, passing=said in _PASSING)
    return of_http(answer.status_code, said, answer.headers.get("Retry-After"))


def _plain(text: str) -> str:
    """Slack's three control characters, as it wants them written."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
