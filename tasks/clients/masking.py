"""What is secret in captured configuration, taken out before it leaves the process.

Masked are values and lines by their name, digests of passwords, and the plan's own secrets by their text.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from tasks.errors import DrError
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

MASK = "***"
_NAME = re.compile(
    r"pass(word|wd|phrase)?$|masterauth|secret|cipher-pass|s3-key|credential|token", re.IGNORECASE
)
_LINE = re.compile(
    r"""(?im)^([ \t]*(?:sentinel[ \t]+)?"?[\w.-]*
    (?:password|passwd|passphrase|auth-pass|requirepass|masterauth|secret|cipher-pass|s3-key|key-file-pass)
    (?![\w-]*_(?:file|encryption))[\w-]*"?
    (?:[ \t]*[:=][ \t]*|[ \t]+(?:[\w.-]+[ \t]+)?))(\S.*?)(,?[ \t]*)$""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"(?:file|env):\S+")
# Shorter texts would mask ordinary words; shorter lines of a key tell nothing.
_SHORTEST, _LINE_LENGTH = 4, 32
_DIGESTS = re.compile(r"#[0-9a-f]{64}\b|SCRAM-SHA-256\$\S+")
_OF_SERVERS = (
    "database_superuser", "database_replication", "database_service", "patroni_api", "redis",
    "repository_cipher", "files_cipher", "prefect_api", "prefect_database", "prefect_encryption",
)  # fmt: skip


def masked(value: Any, name: str = "") -> Any:
    """Settings with every text masked whose name tells a secret."""
    if isinstance(value, Mapping):
        return {key: masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each, name) for each in value]
    return MASK if value and isinstance(value, str) and _NAME.search(name) else value


def without_secrets(text: str) -> str:
    """A configuration file with every line's value masked whose name tells a secret, and password digests."""
    return _DIGESTS.sub(MASK, _LINE.sub(rf"\g<1>{MASK}\g<3>", text))


def masker(plan: Plan) -> Callable[[str], str]:
    """What replaces every secret text of the plan, and the JSON writing of it.

    Raises:
        Permanent: one cannot be read, so that nothing could be masked.
    """
    texts = [plan.secret(name) for name in _OF_SERVERS]
    for site in plan.sites.values():
        for reference in (site.storage.owner, site.storage.reader):
            pair = plan.credentials(reference)
            texts += [pair.access_key, pair.secret_key]
    return hiding(texts)


def every_secret(plan: Plan) -> list[str]:
    """The text of every secret that the plan refers to and this process can read, and what JSON ones hold.

    One that cannot be read here cannot be told from here either.
    """
    texts: list[str] = []
    for reference in sorted(set(_references(plan.model_dump(mode="json")))):
        with suppress(DrError):
            texts += _parts(read_secret(plan.folder, reference))
    return [text for text in texts if len(text) >= _SHORTEST]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, str) and _REFERENCE.fullmatch(value):
        yield value


def _parts(secret: str) -> list[str]:
    """A secret, and its parts: the values of JSON, the lines of a key."""
    try:
        known = json.loads(secret)
    except ValueError:
        known = None
    values = [value for value in known.values() if isinstance(value, str)] if isinstance(known, dict) else []
    return [secret, *values, *(line for line in secret.splitlines() if len(line) >= _LINE_LENGTH)]


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """What replaces each of some secret texts, and the JSON writing of it; empty ones are none."""
    texts = [text for text in secrets if text]
    whole = sorted({*texts, *(json.dumps(text)[1:-1] for text in texts)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, whole)) or r"(?!)")
    return lambda text: pattern.sub(MASK, text)
