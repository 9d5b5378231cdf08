"""The lab's git repositories: the rendered configuration, and the service's source, both with a history."""

import shutil
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from infra.control import Control
from infra.hooks import install_hook
from infra.tree import write_all
from tasks.clients.command import run
from tasks.plan.plan import Plan

_AUTHOR = ("-c", "user.name=naas-dr lab", "-c", "user.email=lab@naas.invalid", "-c", "commit.gpgsign=false")


def make_repositories(plan: Plan, control: Control) -> None:
    """Make the repositories that lie beside the plan, or commit what changed in what they are made of.

    Raises:
        Permanent: git is missing or failed.
    """
    for name, source in plan.protection.configuration.repositories.items():
        write = _CONTENT.get(name)
        if write is None or "://" in source or source.startswith("/"):
            continue
        folder = plan.folder / source
        if not folder.exists():
            _create(folder, plan, write)
        install_hook(folder, name, control.api_url, control.user, plan.secret_path("prefect_api"))
        _commit(folder, plan, write)


def _create(folder: Path, plan: Plan, write: Callable[[Plan, Path], None]) -> None:
    """A repository is there whole or not at all, whenever this is killed."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _git(partial, "init", "--quiet", "--template=", "--initial-branch=main")
    _commit(partial, plan, write)
    partial.rename(folder)


def _commit(folder: Path, plan: Plan, write: Callable[[Plan, Path], None]) -> None:
    # Only a killed command leaves one: a lab is held by one command at a time.
    (folder / ".git/index.lock").unlink(missing_ok=True)
    write(plan, folder)
    _git(folder, "add", "--all")
    if _git(folder, "status", "--porcelain"):
        _git(folder, "commit", "--quiet", "--message", "As the plan says")


def _infrastructure(plan: Plan, folder: Path) -> None:
    write_all(plan, folder, secrets=False)
    shutil.copyfile(plan.folder / "plan.yaml", folder / "plan.yaml")


def _application(_plan: Plan, folder: Path) -> None:
    for item in files("infra.service").iterdir():
        if item.name.endswith((".py", ".sql")):
            (folder / item.name).write_text(item.read_text(encoding="utf-8"), encoding="utf-8")


_CONTENT: Mapping[str, Callable[[Plan, Path], None]] = {
    "infrastructure": _infrastructure,
    "application": _application,
}


def _git(folder: Path, *arguments: str) -> str:
    return run(["git", *_AUTHOR, "-C", str(folder), *arguments], timeout=60)
