"""Our own format, for people and scripts: {"site", "reason", "detected_at"?, "key"?}."""

from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, StringConstraints

from deployments.notice_formats.notice import Form, Notice, known_site, read, words
from tasks.errors import Refused
from tasks.plan.plan import Plan

NAME = "plain"


class _Plain(Form):
    model_config = ConfigDict(extra="forbid")

    site: str
    reason: Annotated[str, StringConstraints(max_length=2000)]
    detected_at: AwareDatetime | None = None
    key: Annotated[str, StringConstraints(max_length=2000)] = ""


def parse(body: Any, plan: Plan) -> list[Notice]:
    """Read a notice of ours; a misspelt field is refused.

    Raises:
        Refused: it is not one, or names a site that the plan does not have.
    """
    plain = read(_Plain, body)
    site, reason = known_site(plan, plain.site), words(plain.reason)
    if not reason:
        raise Refused("the notice gives no reason", hint="say what happened")
    key = plain.key or (plain.detected_at.isoformat() if plain.detected_at else "")
    return [Notice(site, reason, plain.detected_at, "critical", NAME, key)]
