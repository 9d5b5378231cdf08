"""Amazon's services as public channels: one call, with no retry of boto3's own."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from tasks.clients.channels.failures import TIMEOUT_S, Answered, told
from tasks.clients.public.wording import BLOCK
from tasks.plan.plan import Plan
from tasks.plan.public_channels import Amazon
from tasks.plan.references import Credentials

# At its debug level botocore logs whole messages and answers, with whoever they are to.
logging.getLogger("botocore").setLevel(logging.INFO)
# boto3 makes clients in one session, one at a time.
_making = threading.Lock()
_POOL = 16
_THROTTLED = {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException"}
_PASSING = {"RequestLimitExceeded", "LimitExceededException", "ServiceUnavailable", "InternalFailure"}


@contextmanager
def client(
    plan: Plan, settings: Amazon, service: str, channel: str, hidden: tuple[str, ...]
) -> Iterator[Any]:
    """A boto3 client, whose failures become ours.

    Args:
        plan: the plan.
        settings: the region, the credentials, and the endpoint where it is one's own.
        service: boto3's name of it.
        channel: our name of it.
        hidden: what no error repeats, beside the credentials.

    Raises:
        Busy: throttled; `seconds` is its Retry-After, or one.
        Transient: no answer in time, or 5xx.
        Permanent: the message or the credentials are refused.
    """
    pair = plan.credentials(settings.credentials)
    authority = str(plan.secret_path("ca_certificate")) if settings.endpoint else None
    with told(channel, [pair.access_key, pair.secret_key, *hidden], BLOCK):
        with _making:
            made = _made(service, settings.region, settings.endpoint, pair, authority)
        try:
            yield made
        except ClientError as error:
            raise _answered(error) from None
        except ParamValidationError:
            raise
        except (BotoCoreError, ResponseParserError, KeyError) as error:
            # A KeyError is botocore's, over an answer that is not Amazon's.
            raise OSError(type(error).__name__) from None


@lru_cache(maxsize=8)
def _made(service: str, region: str, endpoint: str | None, pair: Credentials, authority: str | None) -> Any:
    """A client, which many threads may use: making one costs more than a message does."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=pair.access_key,
        aws_secret_access_key=pair.secret_key,
        verify=authority,
        config=Config(
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            retries={"total_max_attempts": 1},
            max_pool_connections=_POOL,
        ),
    )


def receipt(answer: dict[str, Any]) -> str:
    """Amazon's id of the message; call it inside `client`.

    Raises:
        Answered: the answer has none.
    """
    if not answer.get("MessageId"):
        raise Answered("an answer without a MessageId", passing=True)
    return str(answer["MessageId"])


def _answered(error: ClientError) -> Answered:
    meta, code = error.response["ResponseMetadata"], str(error.response["Error"].get("Code", ""))
    status = int(meta.get("HTTPStatusCode", 0))
    words = f"{code} {error.response['Error'].get('Message', '')}".strip()
    if status == 429 or code in _THROTTLED:
        after = meta.get("HTTPHeaders", {}).get("retry-after", "")
        return Answered(words, passing=True, wait_s=float(after) if after.isdecimal() else 1.0)
    return Answered(words, passing=status >= 500 or code in _PASSING)
