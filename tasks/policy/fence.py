"""What proves that a site takes no writes, and whose word stands where nothing does. Pure.

Where the site's DCS is not ours, no lease tells. Every node must have said that it is a standby, and have
refused a write; one that is silent is unknown, and unknown is no proof.
"""

import re
from collections.abc import Sequence
from typing import Literal

from tasks.clients.nodes import NodeSeen
from tasks.errors import Refused
from tasks.facts.fence import Fence, FenceAttempt, FenceOverride

State = Literal["proven", "changing", "unknown"]


def state_of(nodes: Sequence[NodeSeen]) -> State:
    """Whether the nodes prove the fence; changing where one answers that may yet do so, else unknown."""
    if nodes and all(_is_proof(node) for node in nodes):
        return "proven"
    if any(node.answers and not _is_proof(node) for node in nodes):
        return "changing"
    return "unknown"


def writers(nodes: Sequence[NodeSeen]) -> tuple[str, ...]:
    """The nodes that take writes."""
    return tuple(node.name for node in nodes if node.write == "taken")


def seen_words(nodes: Sequence[NodeSeen]) -> str:
    """What each node showed, in one line."""
    return "; ".join(f"{node.name}: {_words(node)}" for node in nodes) or "there is no node"


def read_override(statement: str, commanders: Sequence[str], site: str) -> str:
    """The commander who says, in a sentence with the site's name, that the recovery goes on without proof.

    Raises:
        Refused: it names no commander or several, or not the site.
    """
    named = [name for name in commanders if _names(statement, name)]
    hint = f'such as "I, {commanders[0]}, know that {site} may still take writes"'
    if len(named) != 1:
        wrong = "names several commanders" if named else "names no commander of the plan"
        raise Refused(f"the override {wrong}", f"commanders: {', '.join(commanders)}", hint)
    require_site(statement, site)
    return named[0]


def require_site(statement: str, site: str) -> None:
    """Refuse a statement that does not name the site it is about.

    Raises:
        Refused: it does not.
    """
    if not _names(statement, site):
        raise Refused(f"the override does not name {site}", statement, "type the name of the site")


def without_proof(attempts: Sequence[FenceAttempt], word: FenceOverride) -> Fence:
    """The fence that is none: what was tried, and whose word stands for it."""
    return Fence(
        proven_at=word.at,
        proof="nothing proves that it takes no writes",
        proven=False,
        overridden_by=word.commander,
        statement=word.statement,
        attempts=tuple(attempts),
    )


def fenced(verdict: str, fence: Fence | None) -> str:
    """A verdict that hides no fence without proof."""
    return verdict if fence is None or fence.proven else f"{verdict}, fence NOT PROVEN"


def _is_proof(node: NodeSeen) -> bool:
    return node.answers and node.standby and node.write == "refused"


def _words(node: NodeSeen) -> str:
    if node.write == "taken":
        return "takes writes"
    if not node.answers:
        return "its Patroni does not answer, so it is unknown"
    said = "a standby" if node.standby else "not a standby yet"
    return f"{said}, {'refused a write' if node.write == 'refused' else 'no write could be tried'}"


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None
