"""PagerDuty's Events API v2, by its official client."""

from httpx2 import Response
from pagerduty import Error, EventsApiV2Client, HttpError

from tasks.clients.channels.failures import TIMEOUT_S, of_http, told
from tasks.clients.channels.message import Message
from tasks.clients.channels.trust import trusted
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

_LONGEST_SUMMARY = 1024


class _OneAttempt(EventsApiV2Client):
    """Whether to try again is the caller's to say: by itself the client waits out a 429 for ever."""

    max_network_attempts = 0

    def postprocess(self, response: Response) -> None:
        """Called once for each answer, before the client's own retries."""
        if not response.is_success:
            raise HttpError("not taken", response)


def send(plan: Plan, message: Message) -> str:
    """Trigger the one alert of an incident or a duty, or resolve it when that is over.

    Returns:
        the key of the alert; the same message again changes nothing there.

    Raises:
        Busy: 429; `seconds` is its Retry-After.
        Transient: no answer in time, or 5xx.
        Permanent: the event or the routing key is refused.
    """
    settings = plan.notifications.pagerduty
    if settings is None:
        raise Permanent("the plan has no notifications.pagerduty")
    key = read_secret(plan.folder, settings.routing_key)
    with (
        told("pagerduty", [key]),
        _OneAttempt(key, base_url=settings.endpoint, verify=trusted(plan)) as client,
    ):
        client.timeout = TIMEOUT_S
        try:
            return _tell(client, plan.service.name, message)
        except Error as error:
            answer = error.response
            if answer is None:
                raise OSError(type(error.__cause__).__name__) from None
            raise of_http(answer.status_code, answer.text, answer.headers.get("retry-after")) from None


def _tell(client: EventsApiV2Client, source: str, message: Message) -> str:
    if message.stage in {"recovered", "settled"}:
        return client.resolve(message.dedup_key)
    return client.trigger(
        summary=message.subject[:_LONGEST_SUMMARY],
        source=source,
        dedup_key=message.dedup_key,
        severity=message.severity,
        custom_details={"incident": message.incident, "stage": message.stage, "text": message.text},
    )
