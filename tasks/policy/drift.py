"""Where the running servers are not what the plan says. Pure.

A difference is critical: what was rehearsed is not what would run. A server that could not be asked is
unknown, which is no better.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.clients.running_configuration import Running
from tasks.facts.archive import Finding
from tasks.facts.drift import Expected, OneOf, Path

_HINT = "render the plan's files again (`dr render`) and reload the server, or change the plan"
# They rewrite their own files; what they run with is compared instead.
_REWRITTEN = frozenset({"redis", "sentinel"})
_DYNAMIC = "dynamic"
_ABSENT = "nothing"
_MAX_SHOWN = 200


def judge_drift(wanted: Sequence[Expected], running: Sequence[Running]) -> tuple[Finding, ...]:
    """Compare what runs with what should; one finding a difference, a single good one where there is none.

    What a scope's nodes share is compared once, and a site that is held after its failure (it follows nobody
    until it is brought back) is a warning.
    """
    seen = {(each.site, each.host, each.program): each for each in running}
    found: list[Finding] = []
    scopes: set[str] = set()
    for each in wanted:
        here = seen.get((each.site, each.host, each.program))
        if here is None or here.unknown:
            why = here.unknown if here else "it was not looked at"
            found.append(Finding(_name(each), "unknown", why, "is the host up?"))
            continue
        found += _compare(each, here, scopes)
    found += _leaders(wanted, running)
    return tuple(found) or (Finding("servers", "ok", f"{len(wanted)} programs run as the plan says"),)


def judge_files(rendered: Mapping[str, str], running: Sequence[Running]) -> tuple[Finding, ...]:
    """Compare the hosts' files with those that a repository keeps as `hosts/SITE/HOST/PATH`.

    Args:
        rendered: the repository's files, without secrets.
        running: what was captured, without secrets.
    """
    found = [
        finding
        for each in running
        if each.program not in _REWRITTEN and not each.unknown
        for path, text in each.files.items()
        for finding in _file(each, path, text, rendered.get(f"hosts/{each.site}/{each.host}/{path}"))
    ]
    return tuple(found)


def _compare(wanted: Expected, here: Running, scopes: set[str]) -> Iterator[Finding]:
    held = _is_held(here)
    if held and wanted.site not in scopes:
        detail = "it follows nobody until it is brought back"
        yield Finding(f"patroni {wanted.site}: standby_cluster", "warning", detail, "dr run bring-back")
    for path, value in wanted.settings.items():
        shared = path[0] == _DYNAMIC
        if (shared and wanted.site in scopes) or (held and _is_of_hold(path)) or _is_idle(here, path):
            continue
        actual = _look(here.settings, path)
        if not _same(value, actual):
            subject = f"patroni {wanted.site}" if shared else _name(wanted)
            name = ".".join(path[1:] if shared else path)
            yield Finding(f"{subject}: {name}", "critical", _told(value, actual), _HINT)
    if wanted.program == "postgres":
        scopes.add(wanted.site)


def _leaders(wanted: Sequence[Expected], running: Sequence[Running]) -> Iterator[Finding]:
    """In the site whose servers may take writes, exactly one does; elsewhere `role` says that none may."""
    for program, leads in (("postgres", "primary"), ("redis", "master")):
        for site in sorted({each.site for each in wanted if each.program == program and _may_lead(each)}):
            servers = [each for each in running if each.program == program and each.site == site]
            leaders = [each.host for each in servers if each.settings.get("role") == leads]
            if len(leaders) != 1 and not any(each.unknown for each in servers):
                detail = f"one in the plan, {', '.join(leaders) or 'none'} on the servers"
                yield Finding(f"{program} {site}: {leads}", "critical", detail, "see which one clients reach")


def _may_lead(wanted: Expected) -> bool:
    return ("role",) not in wanted.settings


def _file(here: Running, path: str, text: str | None, kept: str | None) -> Iterator[Finding]:
    name = f"file {here.site}/{here.host}/{path}"
    if kept is None or text == kept:
        return
    if text is None:
        yield Finding(name, "critical", "kept in the repository, missing on the host", _HINT)
        return
    there, here_lines = kept.splitlines(), text.splitlines()
    common = zip(there, here_lines, strict=False)
    line = next((n for n, (a, b) in enumerate(common) if a != b), min(len(there), len(here_lines)))
    shown = [lines[line].strip() if line < len(lines) else "the end" for lines in (there, here_lines)]
    detail = f"line {line + 1}: {shown[0]!r} in the repository, {shown[1]!r} on the host"
    yield Finding(name, "critical", detail, _HINT)


def _is_held(here: Running) -> bool:
    """Whether Patroni's record is the one that `patroni.hold_as_standby` writes."""
    standby = _look(here.settings, (_DYNAMIC, "standby_cluster"))
    return isinstance(standby, Mapping) and standby.get("host") == "localhost" and standby.get("port") == 1


def _is_of_hold(path: Path) -> bool:
    return path[:2] == (_DYNAMIC, "standby_cluster") or path[-1] == "restore_command"


def _is_idle(here: Running, path: Path) -> bool:
    """A primary restores nothing; what it keeps of its time as a standby does not matter."""
    return path[-1] == "restore_command" and path[0] != _DYNAMIC and here.settings.get("role") == "primary"


def _look(settings: Any, path: Path) -> Any:
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    return settings


def _same(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, OneOf):
        return str(actual if actual is not None else "") in wanted.values
    if wanted is None or actual is None:
        return wanted is actual
    return str(wanted) == str(actual)


def _told(wanted: Any, actual: Any) -> str:
    shown = [_ABSENT if value is None else str(value)[:_MAX_SHOWN] for value in (wanted, actual)]
    return f"{shown[0]} in the plan, {shown[1]} on the server"


def _name(each: Expected) -> str:
    return f"{each.program} {each.site}/{each.host}"
