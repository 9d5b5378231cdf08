"""A repository's birth: its key and its config, fixed by one conditional write.

`restic init` writes a key, then a config. Killed in between, or run twice at once, it leaves two keys to one
password of which one opens nothing. So it runs in a scratch directory, and the first result that becomes the
bucket's `birth.json` is the one that everybody writes out, however often. The site's copies of it are the
same repository; key and config are encrypted there as they are in their own objects.
"""

import base64
import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.clients.command import run
from tasks.clients.objects import Bucket, Missing
from tasks.clients.restic_command import PREFIX
from tasks.errors import DrError, Permanent
from tasks.plan.plan import Plan

KEY = f"{PREFIX}/birth.json"


@dataclass(frozen=True)
class Birth:
    """What a repository began with: objects by name below the prefix, in base64, and their digest."""

    objects: dict[str, str]
    sha256: str

    @classmethod
    def of(cls, contents: dict[str, bytes]) -> "Birth":
        """The birth of a repository with these objects."""
        objects = {name: base64.b64encode(data).decode() for name, data in sorted(contents.items())}
        return cls(objects, _digest(objects))

    def written(self) -> bytes:
        """The record's bytes, the same for the same birth."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    def contents(self) -> dict[str, bytes]:
        """The objects' bytes by key, the config last."""
        ordered = sorted(self.objects.items(), key=lambda item: item[0] == "config")
        return {f"{PREFIX}/{name}": base64.b64decode(text) for name, text in ordered}


def read(data: bytes) -> Birth | None:
    """The birth that a record tells; None where the record is not what was written."""
    try:
        birth = Birth(**json.loads(data))
        whole = birth.sha256 == _digest(birth.objects) and birth.written() == data
    except (ValueError, TypeError, AttributeError):
        return None
    return birth if whole else None


def ensure(plan: Plan, site: str) -> None:
    """Make a site's repository where there is none, or finish one whose making was interrupted.

    Raises:
        Permanent: the repository lost its config or its birth is damaged, or the store refuses.
        Transient: the store does not answer.
    """
    bucket = Bucket.owned(plan, site)
    with suppress(Missing):
        bucket.head(f"{PREFIX}/config")
        return
    _require_new(bucket, site)
    data = _known(plan, site) or _made(plan).written()
    bucket.create(KEY, data)
    birth = read(bucket.get(KEY))
    if birth is None:
        raise Permanent(f"the birth of the files' repository of {site} is damaged", KEY)
    for key, content in birth.contents().items():
        bucket.create(key, content)


def _require_new(bucket: Bucket, site: str) -> None:
    """A repository that lost its config must be repaired: a new one over it would bury its snapshots."""
    for folder in ("snapshots", "index"):
        _, held = bucket.children(f"{PREFIX}/{folder}")
        if held:
            detail = f"{PREFIX}/{folder} has {len(held)} objects, there is no {PREFIX}/config"
            raise Permanent(f"the files' repository of {site} has lost its config", detail, f"see {KEY}")


def _known(plan: Plan, site: str) -> bytes | None:
    """The birth as this or another site's bucket has it: one key everywhere, so that copies stay copies."""
    for name in sorted(plan.sites, key=lambda each: each != site):
        with suppress(DrError):
            data = Bucket.readable(plan, name).get(KEY)
            if read(data):
                return data
    return None


def _made(plan: Plan) -> Birth:
    with tempfile.TemporaryDirectory(prefix="naas-dr-") as folder:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "RESTIC_PASSWORD": plan.secret("files_cipher"),
        }
        argv = ["restic", "init", f"--repo={folder}/new", "--repository-version=2", "--no-cache"]
        run(argv, timeout=60, env=environment)
        made = Path(folder, "new")
        files = [made / "config", *(made / "keys").iterdir()]
        return Birth.of({str(file.relative_to(made)): file.read_bytes() for file in files})


def _digest(objects: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()
