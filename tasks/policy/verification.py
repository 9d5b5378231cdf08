"""Was everything verified, and is it whole? Pure."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tasks.clients import longterm
from tasks.errors import DrError
from tasks.facts.backups import Damage, Verified
from tasks.plan.plan import Plan
from tasks.policy.tables import moment, size, table

KINDS = ("database", "files", "points", longterm.ROOT)
_KIND_OF = {"pgbackrest": "database", "restic": "files", "points": "points"}
EVERYWHERE = "every site"
_LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
HEAD = ("asset", "site", "at", "method", "objects", "bytes", "damages", "such as")
# By site and check, such as "database, started", what it found or what it ended in.
Results = Mapping[tuple[str, str], Sequence[Verified] | DrError]


def kind_of(asset: str) -> str:
    """The kind of repository that an asset lies in."""
    kind = asset.partition("/")[0]
    return kind if kind in KINDS else "points"


def recorded(results: Results) -> tuple[Verified, ...]:
    """One verification for each asset and site that had something to verify.

    Where one of an asset's checks could not be made, only damage that another one found is kept: the last
    whole verification stays on record.
    """
    failed = {(site, _kind(check)) for (site, check), each in results.items() if isinstance(each, DrError)}
    found: dict[tuple[str, str], Verified] = {}
    for each in _all(results):
        known = found.get((each.asset, each.site))
        found[each.asset, each.site] = _both(known, each) if known else each
    return tuple(
        each for each in found.values() if each.damages or (each.site, kind_of(each.asset)) not in failed
    )


def compared(plan: Plan, root: str, damages: Sequence[Damage], at: datetime) -> tuple[Verified, ...]:
    """What a comparison of the sites found in one repository, as a verification of each asset it is about.

    What belongs to a repository of several assets is a damage of each of them.
    """
    found: dict[tuple[str, str], list[Damage]] = {}
    for damage in damages:
        shared = [asset for asset in plan.protection.assets() if kind_of(asset) == _KIND_OF[root]]
        for asset in shared if damage.asset == root else [damage.asset]:
            found.setdefault((asset, damage.site), []).append(replace(damage, asset=asset))
    method = "compared with the other sites"
    return tuple(
        Verified(asset, site, at, method, len(each), 0, tuple(each)) for (asset, site), each in found.items()
    )


def without_remains(
    found: Iterable[tuple[str, str]], named: Container[str], is_empty: Callable[[str], bool]
) -> list[tuple[str, str]]:
    """Damages without those of backups that expired and left nothing but their folder.

    Some stores go on listing a folder whose last object was deleted; pgBackRest misses the manifest in it.

    Args:
        found: what pgBackRest's verify found.
        named: the labels that the repository still names: what is missing of one is damage.
        is_empty: whether a backup's folder holds no object.
    """
    return [(name, what) for name, what in found if name in named or not is_label(name) or not is_empty(name)]


def is_label(name: str) -> bool:
    """Whether a name is a pgBackRest backup's label."""
    return _LABEL.fullmatch(name) is not None


def check_of(root: str) -> tuple[str, str]:
    """How a comparison of the sites is named among the checks."""
    return EVERYWHERE, f"{_KIND_OF[root]}, compared"


def wrong(plan: Plan, results: Results) -> list[str]:
    """Everything that is damaged, not there, or could not be told, each by its name."""
    own = {where: each for where, each in results.items() if where[0] != EVERYWHERE}
    held = {(each.site, each.asset) for each in _all(own)}
    lines = [
        f"{check} at {site}: not known: {result.message}: {result.detail}"
        for (site, check), result in results.items()
        if isinstance(result, DrError)
    ]
    lines += [
        f"{each.asset} at {each.site}: {d.name}: {d.what}" for each in _all(results) for d in each.damages
    ]
    told = dict.fromkeys(
        (site, _kind(check)) for (site, check), r in results.items() if not isinstance(r, DrError)
    )
    for site, kind in ((site, kind) for site, kind in told if site != EVERYWHERE):
        missing = (asset for asset in plan.protection.assets() if kind_of(asset) == kind)
        lines += [f"{asset} at {site}: nothing to verify" for asset in missing if (site, asset) not in held]
    return lines


def verification_markdown(results: Results, bad: Sequence[str]) -> str:
    """What was verified, as one page."""
    return "\n".join([*(f"- {line}" for line in bad), "", table(HEAD, map(_row, _all(results)))])


def _all(results: Results) -> Iterator[Verified]:
    for result in results.values():
        if not isinstance(result, DrError):
            yield from (each for each in result if not _is_empty(each))


def _is_empty(each: Verified) -> bool:
    """Whether there was nothing to verify: what is not there has no name beyond its folder's."""
    folders = {f"points/{each.asset}", "pgbackrest", "restic"}
    return not each.objects and any(damage.name in folders for damage in each.damages)


def _both(one: Verified, other: Verified) -> Verified:
    return Verified(
        asset=one.asset,
        site=one.site,
        at=max(one.at, other.at),
        method=f"{one.method}; {other.method}",
        objects=one.objects + other.objects,
        bytes=one.bytes + other.bytes,
        damages=(*one.damages, *other.damages),
    )


def _kind(check: str) -> str:
    return check.partition(",")[0]


def _row(each: Verified) -> tuple[str, ...]:
    first = f"{each.damages[0].name}: {each.damages[0].what}" if each.damages else ""
    counts = str(each.objects), size(each.bytes), str(len(each.damages))
    return (each.asset, each.site, moment(each.at), each.method, *counts, first)
