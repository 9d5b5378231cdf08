"""restic's command line: one door to it, here or on a host, with what it says told apart from its results.

restic retries whatever its store answers for a quarter of an hour. What cannot pass by itself is given up at
once here, and what may pass after some minutes.

Source: restic manual, "Scripting"; restic 0.14.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tasks.clients.command import follow
from tasks.clients.remote import follow_on
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan

PREFIX = "restic"
Hear = Callable[[Any], None]
_PATIENCE_S = 300.0
_GAP_S = 120.0
_LAST = 30
_TOGETHER = 'cd "$1" && shift && exec "$@" 2>&1'
_DENIED = ("access denied", "accessdenied", "403 forbidden", "signaturedoesnotmatch")
_PASSING = ("connection refused", "connection reset", "timeout", "no route to host", "internal error", "eof")


class On(NamedTuple):
    """A host of the plan."""

    site: str
    host: str


@dataclass(frozen=True)
class Place:
    """Where restic runs: on a host or here, in which directory, with which cache (none where None)."""

    on: On | None = None
    directory: Path = Path("/")
    cache: Path | None = None


HERE = Place()


@dataclass
class Said:
    """What restic said: its JSON values, and its last other lines."""

    values: list[Any] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The last lines, for a person."""
        return "\n".join(self.lines)[-2000:]


def restic(  # noqa: PLR0913 -- the one door
    plan: Plan,
    site: str,
    arguments: Sequence[str],
    *,
    timeout: float,
    place: Place = HERE,
    writes: bool = False,
    hear: Hear | None = None,
    read_line: Callable[[str], None] | None = None,
) -> Said:
    """Run restic against a site's repository.

    Args:
        plan: the plan.
        site: whose bucket.
        arguments: the command and its options.
        timeout: seconds.
        place: where it runs.
        writes: as the bucket's owner, with a lock; else as its reader, without one.
        hear: told each JSON value of its status as it comes; those are not kept.
        read_line: told each other line as it comes; may raise to end restic.

    Raises:
        Transient: the store or the host does not answer, the repository is locked, or the time is over.
        Permanent: the store refuses, or restic failed.
    """
    said, watch = Said(), _Watch(site)

    def tell(line: str) -> None:
        if line.startswith(("{", "[")):
            _keep_value(said, line, hear)
        elif line.strip():
            said.lines[:] = [*said.lines[-_LAST:], line]
            watch.look_at(line)
            if read_line:
                read_line(line)

    argv = [
        "sh",
        "-c",
        _TOGETHER,
        "sh",
        str(place.directory),
        *_command(plan, site, place, writes),
        *arguments,
    ]
    environment = _environment(plan, site, writes)
    try:
        if place.on:
            address = str(plan.sites[place.on.site].hosts[place.on.host].address)
            follow_on(plan, address, argv, tell, timeout=timeout, secrets=environment)
        else:
            follow(
                argv, tell, timeout=timeout, env={"PATH": os.environ.get("PATH", os.defpath), **environment}
            )
    except Permanent as error:
        raise _failure(site, arguments[0], error, said) from error
    return said


def _keep_value(said: Said, line: str, hear: Hear | None) -> None:
    try:
        value = json.loads(line)
    except ValueError:
        said.lines.append(line)
        return
    kind = value.get("message_type") if isinstance(value, dict) else None
    if kind == "error":
        said.lines.append(f"{value.get('item')}: {json.dumps(value.get('error'))}")
    elif kind != "status":
        said.values.append(value)
    elif hear:
        hear(value)


def _command(plan: Plan, site: str, place: Place, writes: bool) -> list[str]:
    storage = plan.sites[site].storage
    return [
        "restic",
        f"--repo=s3:{storage.endpoint}/{storage.bucket}/{PREFIX}",
        f"--cacert={plan.secret_path('ca_certificate')}",
        "--option=s3.bucket-lookup=path",
        f"--option=s3.region={site}",
        f"--cache-dir={place.cache}" if place.cache else "--no-cache",
        *([] if writes else ["--no-lock"]),
    ]


def _environment(plan: Plan, site: str, writes: bool) -> dict[str, str]:
    storage = plan.sites[site].storage
    credentials = plan.credentials(storage.owner if writes else storage.reader)
    return {
        "RESTIC_PASSWORD": plan.secret("files_cipher"),
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "RESTIC_PROGRESS_FPS": "2",
        "TZ": "UTC",
    }


class _Watch:
    """Gives up what restic would go on trying: a refusal at once, a silent store after some minutes."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._began = self._seen = 0.0

    def look_at(self, line: str) -> None:
        """Read one line of what restic says.

        Raises:
            Permanent: the store refuses.
            Transient: it has not answered for too long.
        """
        if "returned error, retrying" not in line:
            return
        if any(word in line.lower() for word in _DENIED):
            raise _denied(self._site, line)
        now = time.monotonic()
        if now - self._seen > _GAP_S:
            self._began = now
        self._seen = now
        if now - self._began > _PATIENCE_S:
            raise _silent(self._site, f"for {_PATIENCE_S:g} s: {line}")


def _failure(site: str, command: str, error: DrError, said: Said) -> DrError:
    if said.text == "" and not error.detail.startswith("exit"):
        return error
    text = said.text.lower()
    if any(word in text for word in _DENIED):
        return _denied(site, said.text)
    if "already locked" in text:
        return Transient(f"the files' repository of {site} is locked", said.text, "wait for who holds it")
    if any(word in text for word in _PASSING):
        return _silent(site, said.text)
    code = error.detail.partition(":")[0]
    return Permanent(f"restic {command} failed on the repository of {site}", f"{code}: {said.text}")


def _denied(site: str, detail: str) -> Permanent:
    hint = "check the site's credential references, and that its store may be written"
    return Permanent(f"the store of {site} refuses", detail[-500:], hint)


def _silent(site: str, detail: str) -> Transient:
    return Transient(f"the store of {site} does not answer", detail[-500:], "is the site's store up?")
