"""X's and LinkedIn's posts, as much of them as a sender can notice; no key, token or signature is kept."""

import re
import threading
import time
import unicodedata
from dataclasses import dataclass

from authlib.oauth1.rfc5849.signature import verify_hmac_sha1
from authlib.oauth1.rfc5849.wrapper import OAuth1Request

from infra.edge import inbox
from infra.edge.addresses import secret_of
from infra.edge.asked import NO_JSON, Answer, Asked

_X_LONGEST = 280
_X_CLOCK_S = 300
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(?:[:/?#][!-~]*)?")
_SIGN = "(?:[\U0001f000-\U0001faff\u00a9\u00ae\u203c-\u3299])"
_EMOJI = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}|[#*0-9]\ufe0f?\u20e3"
    f"|{_SIGN}(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?(?:\u200d{_SIGN}\ufe0f?)*"
)
_LIGHT = (range(4352), range(8192, 8206), range(8208, 8224), range(8242, 8248))
_LINKEDIN_LONGEST = 3000
_LITTLE = re.compile(r"\\(.)|[\\|{}@\[\]()<>#*_~]", re.DOTALL)
_FIELDS = ("author", "commentary", "visibility", "distribution", "lifecycleState")
# Whether a post is there already, and posting it, is one thing.
_posting = threading.Lock()


@dataclass(frozen=True)
class _Holder:
    """Whom Authlib asks for the secrets that belong to a request's keys."""

    key: str

    def get_client_secret(self) -> str:
        return secret_of(self.key)

    def get_oauth_token_secret(self) -> str:
        return secret_of(self.key)


def x(asked: Asked) -> Answer:
    """POST /2/tweets, signed as OAuth 1.0a has it."""
    if not _signed(asked):
        return Answer(401, {"title": "Unauthorized", "status": 401, "detail": "Unauthorized"})
    if asked.json is None:
        return NO_JSON
    text = asked.json.get("text")
    if not isinstance(text, str) or not text.strip() or _weight(text) > _X_LONGEST:
        return Answer(400, {"title": "Invalid Request", "detail": "the text is missing or too long"})
    text = unicodedata.normalize("NFC", text)
    with _posting:
        if _before(asked, "x", text):
            detail = "You are not allowed to create a Tweet with duplicate content."
            return Answer(403, {"title": "Forbidden", "status": 403, "detail": detail})
        post = _post(asked, "x", text)
    return Answer(201, {"data": {"id": post, "text": text}})


def _signed(asked: Asked) -> bool:
    try:
        request = OAuth1Request("POST", asked.url, body=b"", headers=asked.headers)
        signed = request.oauth_params
        request.client = _Holder(signed["oauth_consumer_key"])
        request.credential = _Holder(signed["oauth_token"])
        late = abs(time.time() - int(signed["oauth_timestamp"]))
        known = signed["oauth_signature_method"] == "HMAC-SHA1" and signed["oauth_nonce"]
        return bool(known and late < _X_CLOCK_S and verify_hmac_sha1(request))
    except (KeyError, ValueError):
        return False


def _weight(text: str) -> int:
    plain, links = _LINK.subn("", unicodedata.normalize("NFC", text))
    rest, emoji = _EMOJI.subn("", plain)
    return (
        23 * links + 2 * emoji + sum(1 if any(ord(each) in light for light in _LIGHT) else 2 for each in rest)
    )


def linkedin(asked: Asked) -> Answer:
    """POST /rest/posts."""
    if not re.fullmatch(r"Bearer \S+", asked.authorization):
        return _told(401, "Empty oauth2 access token")
    if not re.fullmatch(r"20[0-9]{4}", asked.headers.get("LinkedIn-Version", "")):
        return _told(400, "A version must be present")
    if asked.json is None:
        return NO_JSON
    post = asked.json
    if missing := [name for name in _FIELDS if not post.get(name)]:
        return _told(422, f"ERROR :: /{missing[0]} :: field is required but not found")
    return _published(asked, str(post["commentary"]))


def _published(asked: Asked, written: str) -> Answer:
    if len(written) > _LINKEDIN_LONGEST:
        return _told(400, "ERROR :: /commentary :: is too long")
    text = _spoken(written)
    with _posting:
        if before := _before(asked, "linkedin", text):
            return _told(422, f"Content is a duplicate of {before}")
        post = _post(asked, "linkedin", text)
    return Answer(201, "", {"x-restli-id": post})


def _told(status: int, message: str) -> Answer:
    return Answer(status, {"status": status, "message": message})


def _spoken(written: str) -> str:
    """What readers see; LinkedIn ends a post without a word where a reserved character is not escaped."""
    shown, at = "", 0
    for found in _LITTLE.finditer(written):
        shown += written[at : found.start()] + (found[1] or "")
        if found[1] is None:
            return shown
        at = found.end()
    return shown + written[at:]


def _before(asked: Asked, channel: str, text: str) -> str | None:
    same = (line for line in inbox.messages(asked.box) if line["channel"] == channel and line["text"] == text)
    return next((str(line["id"]) for line in same), None)


def _post(asked: Asked, channel: str, text: str) -> str:
    count = sum(line["channel"] == channel for line in inbox.messages(asked.box))
    number = str(7_000_000_000_000_000_000 + count)
    post = number if channel == "x" else f"urn:li:share:{number}"
    inbox.put(asked.box, channel, text.partition("\n")[0], text, id=post)
    return post
