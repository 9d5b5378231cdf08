"""Git repositories as bundles: one file with the whole history, from which `git clone` makes a repository.

Source: git manual, "git-bundle", "git-fsck", "git-ls-remote".
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.clients.command import run
from tasks.clients.workspace import workspace
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.plan.plan import Plan

_LOOK_S = 30.0
_WORK_S = 1800.0
_SYMBOLIC = "ref: "
# Only these transports: ext:: would run a program, git:// and http:// are neither secret nor whole.
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=5",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
}
_OF_A_HOOK = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_QUARANTINE_PATH"})
# What the account's own configuration says (credential helpers) holds, what would run a program does not.
_SETTINGS = """\
[include]
    path = ~/.gitconfig
[safe]
    directory = "{safe}"
    directory = "{safe}/.git"
[core]
    hooksPath = /dev/null
    fsmonitor = false
[fetch]
    recurseSubmodules = false
[http]
    lowSpeedLimit = 1000
    lowSpeedTime = 60
"""


@dataclass(frozen=True)
class State:
    """What a repository is at a moment.

    Attributes:
        head: the commit that HEAD names; empty where it names none.
        branch: the branch that HEAD stands for; empty where it stands for none.
        refs: how many branches, tags and other references it has.
        digest: SHA-256 over all of them: equal digests are equal repositories.
    """

    head: str
    branch: str
    refs: int
    digest: str


@dataclass(frozen=True)
class Bundle:
    """A verified bundle file, what it holds, and how many commits that is."""

    path: Path
    state: State
    commits: int


def source_of(plan: Plan, name: str) -> str:
    """Where a repository of the plan lies, as git takes it.

    Raises:
        Refused: the plan names no such repository, or its address carries a password.
    """
    repositories = plan.protection.configuration.repositories
    if name not in repositories:
        known = ", ".join(repositories)
        raise Refused(f"the plan names no repository {name}", f"known: {known}")
    source = repositories[name]
    if urlsplit(source).password is not None:
        hint = "use ssh, or a credential helper of git"
        raise Refused(f"the address of the repository {name} carries a password", hint=hint)
    remote = "://" in source or (":" in source.partition("/")[0])
    return source if remote else str((plan.folder / source).resolve())


def state_of(source: str) -> State:
    """What a repository is now; nothing of it is fetched.

    Raises:
        Transient: it does not answer.
        Permanent: there is no such repository, or it is empty.
    """
    with _git(source) as git:
        return _state(source, git.references(source))


@contextmanager
def bundled(source: str) -> Iterator[Bundle]:
    """A bundle of a repository as it is now, proven by a clone that passes fsck; gone after the block.

    Raises:
        Transient: the repository does not answer in time, or changed under us.
        Permanent: it is not whole: shallow, empty or damaged.
    """
    with _git(source) as git:
        mirror, proof, bundle = (git.folder / name for name in ("mirror", "proof", "repository.bundle"))
        before = git.references(source)
        git.run("clone", "--mirror", "--no-local", "--template=", "--quiet", "--", source, str(mirror))
        if git.run("rev-parse", "--is-shallow-repository", cwd=mirror).strip() == "true":
            hint = "protect the repository that has the whole history"
            raise Permanent(f"the repository {source} is shallow", "its history is cut off", hint)
        if _refs(git.references(str(mirror))) != _refs(before):
            raise Transient(f"the repository {source} changed while it was read")
        state = _state(source, before)
        git.run("bundle", "create", "--quiet", str(bundle), "--all", cwd=mirror)
        git.check(bundle)
        git.run("clone", "--mirror", "--no-local", "--template=", "--quiet", "--", str(bundle), str(proof))
        git.run("fsck", "--full", "--no-dangling", "--no-progress", cwd=proof)
        if _refs(git.references(str(proof))) != _refs(before):
            raise Permanent(f"the bundle of {source} does not hold every reference")
        if state.head:
            git.run("cat-file", "-e", f"{state.head}^{{commit}}", cwd=proof)
        commits = int(git.run("rev-list", "--all", "--count", cwd=proof))
        yield Bundle(bundle, state, commits)


def clone(bundle: Path, into: Path, *, head: str, branch: str = "", origin: str = "") -> None:
    """Make a working repository of a bundle, with every branch and tag.

    Args:
        bundle: the bundle's file.
        into: a folder that is empty or not there.
        head: the commit that must be checked out; empty where the bundle has none.
        branch: the branch that was; a bundle knows its commit only.
        origin: where the bundle came from; the new repository's remote.

    Raises:
        Refused: the folder is not empty.
        Permanent: the bundle is damaged, or holds another commit.
    """
    require_empty(into)
    beside = into.with_name(f".dr-partial-{into.name}")  # a part of it, where a run died, is no repository
    shutil.rmtree(beside, ignore_errors=True)
    with _git(str(beside)) as git:
        git.check(bundle)
        try:
            _clone(git, bundle, beside, head, branch)
            if origin:
                git.run("remote", "set-url", "origin", origin, cwd=beside)
        except DrError:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    if into.exists():
        into.rmdir()
    beside.rename(into)


def _clone(git: "_Git", bundle: Path, into: Path, head: str, branch: str) -> None:
    wanted = (f"--branch={branch}",) if branch and head else ("--no-checkout",) if head else ()
    git.run("clone", "--no-local", "--template=", "--quiet", *wanted, "--", str(bundle), str(into))
    git.run("fsck", "--full", "--no-dangling", "--no-progress", cwd=into)
    if head and not branch:
        git.run("checkout", "--quiet", "--detach", head, cwd=into)
    found = git.head(into)
    if head and found != head:
        raise Permanent("the bundle holds another commit", f"{found or 'none'}, expected {head}")


def files_in(source: str, folder: str) -> dict[str, str]:
    """The text files below a folder of a repository's HEAD, by path; empty where it has no such folder.

    Raises:
        Transient, Permanent: see `state_of`.
    """
    with _git(source) as git:
        mirror = git.folder / "mirror"
        options = ("--bare", "--no-local", "--template=", "--quiet", "--depth=1", "--single-branch")
        # git shortens the history of what it is given as a URL only.
        url = f"file://{source}" if source.startswith("/") else source
        git.run("clone", *options, "--", url, str(mirror))
        names = git.run("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", f"{folder}/", cwd=mirror)
        if not names:
            return {}
        tree = git.folder / "tree"
        tree.mkdir()
        git.run(f"--work-tree={tree}", "checkout", "--force", "HEAD", "--", f"{folder}/", cwd=mirror)
        wanted = [name for name in names.split("\0") if name and (tree / name).is_file()]
        return {name: (tree / name).read_text("utf-8", "replace") for name in wanted}


def require_empty(into: Path) -> None:
    """Refuse to restore over something.

    Raises:
        Refused: the folder is not empty.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Refused(f"{into} is not empty", hint="name a folder that is empty or not there")


class _Git:
    """git in a folder of its own, with an environment in which nothing asks and nothing foreign runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Inside a hook git points everything it starts at the hook's own repository.
        own = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
        self._env = own | _ENVIRONMENT | {"GIT_CONFIG_GLOBAL": str(folder / "gitconfig")}

    def run(self, *arguments: str, cwd: Path | None = None, timeout: float = _WORK_S) -> str:
        return run(["git", *arguments], timeout=timeout, env=self._env, cwd=cwd or self.folder)

    def references(self, source: str) -> list[str]:
        """Every reference as "COMMIT<tab>NAME" and what HEAD stands for, sorted."""
        try:
            text = self.run("ls-remote", "--symref", "--", source, timeout=_LOOK_S)
        except Permanent as error:
            raise _unreadable(source, error) from error
        return sorted(line for line in text.splitlines() if not line.endswith("^{}"))

    def head(self, repository: Path) -> str:
        try:
            return self.run("rev-parse", "--verify", "--quiet", "HEAD", cwd=repository).strip()
        except Permanent:
            return ""

    def check(self, bundle: Path) -> None:
        """See that a bundle is readable and needs no commit that it does not hold."""
        empty = self.folder / "empty"
        if not empty.exists():
            self.run("init", "--bare", "--template=", "--quiet", str(empty))
        told = self.run("bundle", "verify", str(bundle), cwd=empty)
        if "records a complete history" not in told:
            raise Permanent("the bundle does not hold the whole history", told.strip()[-500:])


def _state(source: str, references: list[str]) -> State:
    if not references:
        raise Permanent(f"the repository {source} is empty", hint="commit something first")
    # git guesses a clone's HEAD where the source's stands for no branch: it is the source's that counts.
    [symbolic] = [line for line in references if line.startswith(_SYMBOLIC)][:1] or [""]
    branch = symbolic.removeprefix(f"{_SYMBOLIC}refs/heads/").partition("\t")[0]
    [head] = [line.partition("\t")[0] for line in _heads(references)][:1] or [""]
    digest = hashlib.sha256("\n".join(references).encode()).hexdigest()
    return State(head, branch, len(_refs(references)), digest)


def _heads(references: list[str]) -> list[str]:
    return [line for line in references if line.endswith("\tHEAD") and not line.startswith(_SYMBOLIC)]


def _refs(references: list[str]) -> list[str]:
    """Branches, tags and the like, without HEAD."""
    return [line for line in references if not line.endswith("\tHEAD")]


@contextmanager
def _git(safe: str) -> Iterator[_Git]:
    with workspace() as folder:
        # The plan names this repository, so it is trusted whoever owns it.
        quoted = safe.replace("\\", "\\\\").replace('"', '\\"')
        (folder / "gitconfig").write_text(_SETTINGS.format(safe=quoted), encoding="utf-8")
        yield _Git(folder)


def _unreadable(source: str, error: DrError) -> DrError:
    detail = error.detail
    passing = ("Could not resolve host", "timed out", "Connection", "Failed to connect", "returned error: 5")
    if any(words in detail for words in passing):
        return Transient(f"the repository {source} does not answer", detail)
    hint = "see protection.configuration.repositories in the plan"
    return Permanent(f"the repository {source} cannot be read", detail, hint)
