"""AWS Secrets Manager: every version of a secret that has a stage.

Source: AWS Secrets Manager API, ListSecretVersionIds, GetSecretValue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan
from tasks.plan.protection import SecretsManager

_PASSING = {"InternalServiceError", "ThrottlingException", "RequestTimeout", "ServiceUnavailable"}


@dataclass(frozen=True)
class Version:
    """One version of a secret.

    Attributes:
        id: the manager's id of it.
        stages: such as AWSCURRENT and AWSPREVIOUS.
        binary: whether it is kept as bytes rather than text.
        value: the secret itself.
    """

    id: str
    stages: tuple[str, ...]
    binary: bool
    value: bytes = field(repr=False)


def versions(plan: Plan, manager: SecretsManager, name: str) -> tuple[Version, ...]:
    """Every staged version of a secret, the current one first.

    Raises:
        Permanent: there is no such secret, or the manager refuses.
        Transient: the manager does not answer.
    """
    with _told(name):
        client = _client(plan, manager)
        # A secret has 20 stages at most, so its staged versions are on the first page.
        page = client.list_secret_version_ids(SecretId=name, MaxResults=100)
        staged = [each["VersionId"] for each in page["Versions"] if each.get("VersionStages")]
        found = [_version(client, name, each) for each in staged]
    if not any("AWSCURRENT" in version.stages for version in found):
        raise Permanent(f"the secret {name} has no current version", hint="look at it in Secrets Manager")
    return tuple(sorted(found, key=lambda version: ("AWSCURRENT" not in version.stages, version.id)))


def _version(client: Any, name: str, version: str) -> Version:
    told = client.get_secret_value(SecretId=name, VersionId=version)
    binary = "SecretBinary" in told
    value = told["SecretBinary"] if binary else told["SecretString"].encode()
    return Version(version, tuple(sorted(told["VersionStages"])), binary, bytes(value))


def _client(plan: Plan, manager: SecretsManager) -> Any:
    pair = plan.credentials(manager.credentials)
    return boto3.client(
        "secretsmanager",
        region_name=manager.region,
        endpoint_url=manager.endpoint,
        aws_access_key_id=pair.access_key,
        aws_secret_access_key=pair.secret_key,
        config=Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2}),
    )


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn boto3's errors into ours, which name the secret and never hold it."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = Transient if code in _PASSING else Permanent
        raise kind(f"Secrets Manager does not give the secret {name}", code) from error
    except BotoCoreError as error:
        raise Transient(f"Secrets Manager does not give the secret {name}", type(error).__name__) from error
