"""X: one post a notice.

Source: X API v2, POST /2/tweets; X, "Counting characters"; RFC 5849.
"""

import json
import re
from dataclasses import dataclass, field

import httpx
from authlib.oauth1 import ClientAuth

from tasks.clients.channels.failures import told
from tasks.clients.public.web import ask, fields, refused
from tasks.clients.public.wording import BLOCK, checked, shortened
from tasks.clients.public.words import Words
from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.plan.public_channels import X
from tasks.plan.references import read_secret

_LONGEST = 280
_LINK_WEIGHT = 23
_LINK = re.compile(r"(https?://)?(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::[0-9]+)?(?:[/?#][!-~]*)?", re.ASCII)
# Code points that weigh 1; all others weigh 2. The signs of copyright and trademark count as emoji.
_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
_EMOJI_BELOW = frozenset("\u00a9\u00ae")
_MENTION = re.compile(r"(?<![\w.+-])@(?=\w)")
_DUPLICATE = "duplicate content"


@dataclass(frozen=True)
class Keys:
    """An app's pair of keys, and the account's."""

    consumer_key: str
    consumer_secret: str = field(repr=False)
    access_token: str
    access_token_secret: str = field(repr=False)


def publish(plan: Plan, settings: X, words: Words) -> str:
    """Post a notice, cut to what X takes; nobody is mentioned by it.

    Returns:
        the post's id, or that X knows the same post already.

    Raises:
        Busy: 429; `seconds` is its Retry-After, or the time until its window ends.
        Transient: no answer in time, 5xx, or an answer that is not X's.
        Permanent: the post or the keys are refused.
    """
    # A space without width behind an @ keeps it from being the name of somebody.
    text = shortened(_MENTION.sub("@\u200b", checked(words)), lambda part: weight(part) <= _LONGEST)
    keys = read_keys(plan, settings)
    url = f"{settings.endpoint}/2/tweets"
    hidden = [keys.consumer_key, keys.consumer_secret, keys.access_token, keys.access_token_secret]
    with told("x", hidden, BLOCK):
        answer = ask(plan, "POST", url, _signed(keys, url), content=json.dumps({"text": text}))
        return _receipt(answer)


def read_keys(plan: Plan, settings: X) -> Keys:
    """What signs each request.

    Raises:
        Permanent: the secret cannot be read, or is not all four of them.
    """
    try:
        found = json.loads(read_secret(plan.folder, settings.credentials))
        return Keys(**{name: str(value) for name, value in found.items()})
    except (ValueError, TypeError, AttributeError):
        hint = "write JSON of consumer_key, consumer_secret, access_token and access_token_secret"
        raise Permanent(f"the credentials {settings.credentials} are malformed", hint=hint) from None


def weight(text: str) -> int:
    """How much of X's 280 a text takes.

    A link takes 23. An emoji of several code points takes 2 there; here each of them counts, so that a text
    is never longer there than here.
    """
    total = sum(_of(each) for each in text)
    for match in _LINK.finditer(text):
        spelt = sum(_of(each) for each in match[0])
        # Without a scheme it is a link only where its end is a domain: the longer of both counts.
        total += (_LINK_WEIGHT if match[1] else max(_LINK_WEIGHT, spelt)) - spelt
    return total


def _of(character: str) -> int:
    light = any(first <= ord(character) <= last for first, last in _LIGHT)
    return 1 if light and character not in _EMOJI_BELOW else 2


def _signed(keys: Keys, url: str) -> dict[str, str]:
    """The headers: OAuth signs the address and the keys, not a body of JSON."""
    auth = ClientAuth(keys.consumer_key, keys.consumer_secret, keys.access_token, keys.access_token_secret)
    _, headers, _ = auth.prepare("POST", url, {"Content-Type": "application/json"}, b"")
    return dict(headers)


def _receipt(answer: httpx.Response) -> str:
    found = fields(answer)
    if answer.status_code == 403 and _DUPLICATE in str(found.get("detail", "")):
        return "posted before"
    posted = found.get("data")
    if answer.status_code != 201 or not isinstance(posted, dict) or not posted.get("id"):
        raise refused(answer)
    return str(posted["id"])
