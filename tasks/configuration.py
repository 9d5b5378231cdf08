"""Configuration backups: git repositories as bundles, and what the servers really run with; and their drift.

Source: seed, "Backup Strategies": configuration on every change.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from tasks.clients import bundles, point_contents, points, running_configuration
from tasks.clients.manifest import StoredPoint
from tasks.clients.masking import without_secrets
from tasks.clients.running_configuration import Running
from tasks.clients.truth import active_site
from tasks.errors import DrError, Permanent, Refused
from tasks.facts.archive import Finding
from tasks.plan.plan import Plan
from tasks.policy.drift import judge_drift, judge_files
from tasks.policy.expected import expected
from tasks.retry import retried

SERVERS = "servers"
BUNDLE, CAPTURE = "repository.bundle", "servers.tar"
_RENEWED = timedelta(days=1)
# A newest point up to this size is read whole to see that it is good; a larger one's objects are looked at.
_READ_UP_TO = 64 * 1024 * 1024


@dataclass(frozen=True)
class Backed:
    """What a configuration backup did: the newest point, and why it is a new one or not."""

    asset: str
    site: str
    point: str
    new: bool
    why: str


def due_assets(plan: Plan, repository: str | None) -> tuple[str, ...]:
    """The names below `configuration/` to back up: one, or all with the servers last.

    Raises:
        Refused: the plan names no such repository.
    """
    names = (*plan.protection.configuration.repositories, SERVERS)
    if repository and repository not in names:
        raise Refused(f"the plan names no repository {repository}", f"known: {', '.join(names)}")
    return (repository,) if repository else names


@retried("back a repository up", run_name="back up the repository {name}")
def back_up_repository(plan: Plan, name: str) -> Backed:
    """Store a repository with its whole history, unless its newest point is this very state.

    Raises:
        Transient: the repository or the store does not answer.
        Permanent: the repository is not whole.
    """
    source, asset, site = bundles.source_of(plan, name), f"configuration/{name}", active_site(plan)
    newest = _newest(plan, site, asset)
    why = _reason(plan, site, newest, bundles.state_of(source).digest)
    if newest and not why:
        return Backed(asset, site, newest.stamp, new=False, why="unchanged")
    at = datetime.now(UTC)
    with bundles.bundled(source) as bundle:
        facts = {
            "head": bundle.state.head,
            "branch": bundle.state.branch,
            "refs": str(bundle.state.refs),
            "commits": str(bundle.commits),
            "digest": bundle.state.digest,
        }
        stored = points.store(plan, site, asset, at, {BUNDLE: bundle.path}, facts)
    return Backed(asset, site, stored.stamp, new=True, why=why)


@task(name="capture what the servers run with", cache_policy=NO_CACHE)
def capture_servers(plan: Plan) -> tuple[Running, ...]:
    """Ask every server for its settings, and read the files it was started from; nothing of it is secret."""
    return running_configuration.capture(plan)


@retried("back the servers' configuration up")
def back_up_servers(plan: Plan, running: Sequence[Running]) -> Backed:
    """Store what was captured, unless the newest point is just that.

    Raises:
        Transient: the store does not answer.
    """
    asset, site = f"configuration/{SERVERS}", active_site(plan)
    files = captured_files(running)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    newest = _newest(plan, site, asset)
    why = _reason(plan, site, newest, digest)
    if newest and not why:
        return Backed(asset, site, newest.stamp, new=False, why="unchanged")
    unknown = ", ".join(f"{each.site}/{each.host}/{each.program}" for each in running if each.unknown)
    facts = {"digest": digest, "files": str(len(files)), "unknown": unknown}
    stored = points.store(plan, site, asset, datetime.now(UTC), {CAPTURE: _tar(files)}, facts)
    return Backed(asset, site, stored.stamp, new=True, why=why)


@task(name="compare the servers with the plan", cache_policy=NO_CACHE)
def find_drift(plan: Plan, running: Sequence[Running]) -> tuple[Finding, ...]:
    """Judge what runs by the plan, and the hosts' files by the repository that keeps the rendered ones.

    Raises:
        Transient: the active site cannot be told.
    """
    kept, unknown = _kept_files(plan)
    files = judge_files(kept, running)
    return (*judge_drift(expected(plan, active_site(plan)), running), *files, *unknown)


def publish_backups(done: Mapping[str, State[Backed]]) -> list[Backed]:
    """Show what was backed up, and fail the run where something was not.

    Raises:
        Permanent: a repository or the capture could not be stored.
    """
    results = {name: state.result(raise_on_failure=False) for name, state in done.items()}
    rows = [f"|configuration/{name}|{_row(result)}|" for name, result in results.items()]
    head = "|asset|site|newest point|state|\n|-|-|-|-|"
    create_markdown_artifact(key="backup-configuration", markdown="\n".join([head, *rows]))
    bad = [f"{name}: {result}" for name, result in results.items() if isinstance(result, BaseException)]
    if bad:
        raise Permanent("not all configuration is backed up", "; ".join(bad), "see the artifact of the run")
    return [result for result in results.values() if isinstance(result, Backed)]


def publish_drift(found: Sequence[Finding]) -> None:
    """Show every finding, and fail the run where the servers are not what the plan says.

    Raises:
        Permanent: something drifted, or could not be asked.
    """
    rows = [f"|{each.name}|{each.severity}|{each.detail}|{each.hint}|" for each in found]
    head = "|what|severity|seen|next|\n|-|-|-|-|"
    create_markdown_artifact(key="configuration-drift", markdown="\n".join([head, *rows]))
    red = [each for each in found if each.red]
    if red:
        detail = "; ".join(f"{each.name}: {each.detail}" for each in red)
        raise Permanent("the servers are not what the plan says", detail, red[0].hint)


def captured_files(running: Sequence[Running]) -> dict[str, str]:
    """What was captured as files: SITE/HOST/PROGRAM.json and SITE/HOST/FILE."""
    files: dict[str, str] = {}
    for each in running:
        folder = f"{each.site}/{each.host}"
        told = {"unknown": each.unknown} if each.unknown else each.settings
        files[f"{folder}/{each.program}.json"] = json.dumps(told, indent=2, sort_keys=True) + "\n"
        files |= {f"{folder}/{path}": text for path, text in each.files.items() if text is not None}
    return files


def _newest(plan: Plan, site: str, asset: str) -> StoredPoint | None:
    return next(reversed(points.stored(plan, site, asset)), None)


def _reason(plan: Plan, site: str, newest: StoredPoint | None, digest: str) -> str:
    """Why a new point is due; empty where the newest one will do."""
    if newest is None:
        return "the first"
    if newest.facts.get("digest") != digest:
        return "changed"
    if datetime.now(UTC) - newest.at > _RENEWED:
        return "the newest is older than a day"
    damages = point_contents.damages(plan, site, newest, read=newest.size <= _READ_UP_TO)
    return f"the newest is damaged: {damages[0][0]} {damages[0][1]}" if damages else ""


def _kept_files(plan: Plan) -> tuple[dict[str, str], tuple[Finding, ...]]:
    kept: dict[str, str] = {}
    unknown: list[Finding] = []
    for name in plan.protection.configuration.repositories:
        try:
            kept |= bundles.files_in(bundles.source_of(plan, name), "hosts")
        except DrError as error:
            unknown.append(Finding(f"repository {name}", "unknown", error.message, error.hint))
    return {path: without_secrets(text) for path, text in kept.items()}, tuple(unknown)


def _tar(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in sorted(files.items()):
            content = text.encode()
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _row(result: Backed | BaseException) -> str:
    if isinstance(result, BaseException):
        return f"||{result.message if isinstance(result, DrError) else repr(result)}"
    return f"{result.site}|{result.point}|{'new: ' if result.new else ''}{result.why}"
