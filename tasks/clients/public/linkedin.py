"""LinkedIn: one post a notice.

Source: LinkedIn Posts API, "little text format".
"""

import re

import httpx

from tasks.clients.channels.failures import told
from tasks.clients.public.web import ask, fields, refused
from tasks.clients.public.wording import BLOCK, checked, shortened
from tasks.clients.public.words import Words
from tasks.plan.plan import Plan
from tasks.plan.public_channels import Linkedin
from tasks.plan.references import read_secret

_LONGEST = 3000
# Unescaped, each of them may end the post where it stands, and LinkedIn says nothing of it.
_RESERVED = re.compile(r"[\\|{}@\[\]()<>#*_~]")
_DUPLICATE = re.compile(r"duplicate of (urn:li:(?:share|ugcPost|activity):\w+)", re.IGNORECASE)


def publish(plan: Plan, settings: Linkedin, words: Words) -> str:
    """Post a notice, cut to what LinkedIn takes; nobody is mentioned by it.

    Returns:
        the post's URN, that of the earlier one where LinkedIn knows the same post already.

    Raises:
        Busy: 429; `seconds` is its Retry-After.
        Transient: no answer in time, 5xx, or an answer that is not LinkedIn's.
        Permanent: the post, the version or the token is refused.
    """
    text = shortened(checked(words), lambda part: len(_escaped(part)) <= _LONGEST)
    token = read_secret(plan.folder, settings.token)
    headers = {
        "Authorization": f"Bearer {token}",
        "LinkedIn-Version": settings.version,
        "X-Restli-Protocol-Version": "2.0.0",
    }
    post = {
        "author": settings.author,
        "commentary": _escaped(text),
        "visibility": "PUBLIC",
        "distribution": {
            "feedDistribution": "MAIN_FEED",
            "targetEntities": [],
            "thirdPartyDistributionChannels": [],
        },
        "lifecycleState": "PUBLISHED",
        "isReshareDisabledByAuthor": False,
    }
    with told("linkedin", [token], BLOCK):
        return _receipt(ask(plan, "POST", f"{settings.endpoint}/rest/posts", headers, json=post))


def _escaped(text: str) -> str:
    return _RESERVED.sub(r"\\\g<0>", text)


def _receipt(answer: httpx.Response) -> str:
    before = _DUPLICATE.search(str(fields(answer).get("message", "")))
    if answer.status_code in {400, 409, 422} and before:
        return before[1]
    posted = answer.headers.get("x-restli-id")
    if answer.status_code != 201 or not posted:
        raise refused(answer)
    return str(posted)
