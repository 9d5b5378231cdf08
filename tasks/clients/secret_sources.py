"""The secrets themselves, read into memory as one tar an asset; never onto a disk.

In the tar: `secrets/plan` has every file and `env/NAME` that the plan refers to, but never the recovery
key, which would be sealed to itself; `secrets/NAME` a file or directory of a host; `secrets/manager` each
secret as `NAME/VERSION`, with `NAME/versions.json` telling their stages.
"""

import base64
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.clients.secrets_manager import versions
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan
from tasks.plan.protection import FileAsset
from tasks.plan.references import path_of, read_secret

_READ_S = 60.0
_REFERENCE = re.compile(r"file:\S+|env:[A-Za-z_][A-Za-z0-9_]*")
_END = b"naas-dr: all of it"
# What tar reports on the way is only known where its end is marked.
_TAR = 'cd "$1" && { tar -cf - -- "$2" && printf "%s" "$3"; } | base64 -w 0'

Files = dict[str, bytes]


def assets(plan: Plan) -> tuple[str, ...]:
    """The assets that this reads, by name."""
    return tuple(asset for asset in plan.protection.assets() if asset.startswith("secrets/"))


def read(plan: Plan, asset: str, site: str) -> Files:
    """The secrets of an asset: contents by name.

    Args:
        plan: the plan.
        asset: one of `assets`.
        site: the active site, on whose hosts files are read.

    Raises:
        Permanent: one is missing or unreadable; it is named, its content is not.
        Transient: a host or the manager does not answer.
    """
    kept, name = plan.protection.secrets, asset.removeprefix("secrets/")
    if name == "plan":
        return _plan_secrets(plan)
    if name == "manager" and kept.manager:
        return dict(_managed(plan))
    if name in kept.files:
        return _host_files(plan, site, kept.files[name])
    raise Permanent(f"{asset} is no asset of the plan", ", ".join(assets(plan)))


def references(plan: Plan) -> tuple[str, ...]:
    """Every reference to a secret anywhere in the plan, but the recovery key's."""
    key = plan.protection.secrets.recovery_key
    found = {text for text in _texts(plan.model_dump(mode="json")) if _REFERENCE.fullmatch(text)}
    return tuple(sorted(each for each in found if _place(plan, each) != _place(plan, key)))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Contents as a tar, each readable by its owner only."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o600
            tar.addfile(member, io.BytesIO(files[name]))
    return into.getvalue()


def unpack(data: bytes) -> Files:
    """The files in a tar, by name.

    Raises:
        Permanent: it is no tar, not whole, or holds what is not a plain file at a plain place.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return dict(_plain_files(tar))
    except tarfile.TarError as error:
        raise Permanent("what was opened is not a whole tar", type(error).__name__) from None


def _plan_secrets(plan: Plan) -> Files:
    found: dict[str, str] = {}
    for each in references(plan):
        other = found.setdefault(_name(each), each)
        if other != each:
            hint = "give one of them another place"
            raise Permanent(f"{other} and {each} would be one file in the backup", _name(each), hint)
    return {name: _content(plan, each) for name, each in found.items()}


def _name(reference: str) -> str:
    """Where a reference's content lies in the tar: files as the plan places them."""
    kind, _, place = reference.partition(":")
    return f"env/{place}" if kind == "env" else place.lstrip("/")


def _content(plan: Plan, reference: str) -> bytes:
    if reference.startswith("env:"):
        return read_secret(plan.folder, reference).encode()
    try:
        content, why = path_of(plan.folder, reference).read_bytes(), "it is empty"
    except OSError as error:
        content, why = b"", type(error).__name__
    if not content.strip():
        hint = "put it there, readable by us, or take it out of the plan"
        raise Permanent(f"the secret {reference} cannot be read", why, hint)
    return content


def _place(plan: Plan, reference: str) -> Any:
    return path_of(plan.folder, reference).resolve() if reference.startswith("file:") else reference


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)


def _managed(plan: Plan) -> Iterator[tuple[str, bytes]]:
    manager = plan.protection.secrets.manager
    for name in manager.names if manager else ():
        folder, found = name.strip("/"), versions(plan, manager, name) if manager else ()
        about = [{"id": each.id, "stages": each.stages, "binary": each.binary} for each in found]
        yield f"{folder}/versions.json", json.dumps(about, indent=1).encode()
        yield from ((f"{folder}/{each.id}", each.value) for each in found)


def _host_files(plan: Plan, site: str, asset: FileAsset) -> Files:
    name, host = next(iter(plan.sites[site].running(asset.program).items()), (None, None))
    if name is None or host is None:
        raise Permanent(f"no host of {site} runs {asset.program}", hint="see protection.secrets.files")
    path = PurePosixPath(Layout.of(plan, site, name).root / asset.path.lstrip("/"))
    argv = ["sh", "-c", _TAR, "sh", str(path.parent), path.name, _END.decode()]
    what = f"{asset.path} on {name} cannot be read"
    try:
        data = base64.b64decode(run_on(plan, str(host.address), argv, timeout=_READ_S))
    except DrError as error:
        # Its detail may hold what was read.
        raise type(error)(what, f"no answer of {host.address}, or a failure there") from None
    if not data.endswith(_END):
        raise Permanent(what, "tar failed there", "is it there, readable by the remote shell's account?")
    found = unpack(data.removesuffix(_END))
    if not found:
        raise Transient(f"{asset.path} on {name} holds no file")
    return found


def _plain_files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.isdir():
            continue
        source = tar.extractfile(member) if member.isfile() else None
        if source is None or ".." in parts or member.name.startswith("/"):
            raise Permanent(f"{member.name} is not a plain file at a plain place", hint="no links, no '..'")
        yield "/".join(parts), source.read()
