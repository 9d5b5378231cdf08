"""Was everything verified, and is it whole? Pure."""

from collections.abc import Iterator, Mapping, Sequence

from tasks.errors import DrError
from tasks.facts.backups import Verified
from tasks.plan.plan import Plan
from tasks.policy.tables import moment, size, table

KINDS = ("database", "files", "points")
HEAD = ("asset", "site", "at", "method", "objects", "bytes", "damages", "such as")
# A site's repository of one kind, and what its verification found or ended in.
Results = Mapping[tuple[str, str], Sequence[Verified] | DrError]


def kind_of(asset: str) -> str:
    """The kind of repository that an asset lies in."""
    kind = asset.partition("/")[0]
    return kind if kind in KINDS else "points"


def wrong(plan: Plan, results: Results) -> list[str]:
    """Everything that is damaged, not there, or could not be told, each by its name."""
    return [line for (site, kind), result in results.items() for line in _wrong(plan, site, kind, result)]


def verification_markdown(results: Results, bad: Sequence[str]) -> str:
    """What was verified, as one page."""
    found = (each for result in results.values() if not isinstance(result, DrError) for each in result)
    return "\n".join([*(f"- {line}" for line in bad), "", table(HEAD, map(_row, found))])


def _wrong(plan: Plan, site: str, kind: str, result: Sequence[Verified] | DrError) -> Iterator[str]:
    if isinstance(result, DrError):
        yield f"{kind} at {site}: not known: {result.message}"
        return
    for each in result:
        for damage in each.damages:
            yield f"{each.asset} at {site}: {damage.name}: {damage.what}"
    held = {each.asset for each in result}
    for asset in plan.protection.assets():
        if kind_of(asset) == kind and asset not in held:
            yield f"{asset} at {site}: nothing there to verify"


def _row(each: Verified) -> tuple[str, ...]:
    first = f"{each.damages[0].name}: {each.damages[0].what}" if each.damages else ""
    counts = str(each.objects), size(each.bytes), str(len(each.damages))
    return (each.asset, each.site, moment(each.at), each.method, *counts, first)
