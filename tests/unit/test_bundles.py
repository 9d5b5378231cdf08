"""Bundles of real git repositories: whole, proven, restorable; what is not is refused by name."""

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tasks.clients import bundles
from tasks.clients.workspace import workspace
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
ORIGIN = "https://example.invalid/x"


def git(repository, *arguments):
    argv = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    made = tmp_path / "source"
    (made / "hosts/a b").mkdir(parents=True)
    (made / "hosts/a b/é.conf").write_text("eins\n", encoding="utf-8")
    (made / "other").write_text("zwei\n")
    git(made, "init", "--quiet", "--initial-branch=trunk")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "--message", "one")
    git(made, "tag", "--annotate", "v1", "--message", "first")
    git(made, "branch", "aside")
    (made / "other").write_text("drei\n")
    git(made, "commit", "--quiet", "--all", "--message", "two")
    return made


@pytest.fixture
def bundle(repository, tmp_path):
    with bundles.bundled(str(repository)) as made:
        kept = tmp_path / "bundle"
        kept.write_bytes(made.path.read_bytes())
        yield kept, made


def test_a_bundle_holds_every_branch_tag_and_commit(repository, bundle, tmp_path):
    path, made = bundle
    assert made.state == bundles.state_of(str(repository))
    assert (made.state.branch, made.state.refs, made.commits) == ("trunk", 3, 2)
    into = tmp_path / "into"
    bundles.clone(path, into, head=made.state.head, branch=made.state.branch, origin=ORIGIN)
    assert git(into, "symbolic-ref", "HEAD") == "refs/heads/trunk"
    assert git(into, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
    assert git(into, "rev-parse", "origin/aside", "v1") == git(repository, "rev-parse", "aside", "v1")
    assert git(into, "remote", "get-url", "origin") == ORIGIN
    assert (into / "other").read_text() == "drei\n"


def test_a_detached_head_comes_back(repository, tmp_path):
    git(repository, "checkout", "--quiet", "--detach", "v1")
    with bundles.bundled(str(repository)) as made:
        assert made.state == bundles.state_of(str(repository))
        assert (made.state.head, made.state.branch) == (git(repository, "rev-parse", "v1^{}"), "")
        bundles.clone(made.path, tmp_path / "into", head=made.state.head)
    assert git(tmp_path / "into", "rev-parse", "HEAD") == made.state.head


def test_every_change_of_a_reference_is_another_state(repository):
    seen = {bundles.state_of(str(repository)).digest}
    for change in (("tag", "v2"), ("branch", "b"), ("checkout", "--quiet", "b"), ("branch", "-D", "aside")):
        git(repository, *change)
        seen.add(bundles.state_of(str(repository)).digest)
    assert len(seen) == 5


def test_a_flipped_bit_is_found_before_anything_is_restored_from_it(bundle, tmp_path):
    path, made = bundle
    whole = path.read_bytes()
    for position in range(len(whole) - 1, len(whole) // 2, -37):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(Permanent):
            bundles.clone(path, tmp_path / f"into-{position}", head=made.state.head)
    path.write_bytes(whole)
    with pytest.raises(Permanent, match="another commit"):
        bundles.clone(path, tmp_path / "other", head="0" * 40, branch="trunk")
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(("into-", "other"))]


def test_nothing_is_restored_over_something(bundle, tmp_path):
    path, made = bundle
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    with pytest.raises(Refused, match="not empty"):
        bundles.clone(path, tmp_path / "full", head=made.state.head)
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["mine"]


def test_what_is_not_whole_is_refused(repository, tmp_path):
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    git(tmp_path, "init", "--quiet", "empty")
    with pytest.raises(Permanent, match="shallow"), bundles.bundled(str(tmp_path / "shallow")):
        pass
    with pytest.raises(Permanent, match="empty"):
        bundles.state_of(str(tmp_path / "empty"))
    with pytest.raises(Permanent, match="cannot be read"):
        bundles.state_of(str(tmp_path / "none"))
    blob = git(repository, "rev-parse", "v1:other")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(Permanent), bundles.bundled(str(repository)):
        pass


def test_no_address_runs_a_program_or_carries_a_password(tmp_path):
    with pytest.raises(Permanent, match="cannot be read"):
        bundles.state_of(f"ext::sh -c 'touch {tmp_path}/ran'")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Transient):
        bundles.state_of("https://127.0.0.1:1/x.git")
    repositories = {"secret": "https://user:word@example.invalid/x", "there": "/srv/x", "here": "git/x",
                    "ssh": "git@example.invalid:x"}  # fmt: skip
    configuration = PLAN.protection.configuration.model_copy(update={"repositories": repositories})
    protection = PLAN.protection.model_copy(update={"configuration": configuration})
    plan = PLAN.model_copy(update={"protection": protection})
    with pytest.raises(Refused, match="password") as refused:
        bundles.source_of(plan, "secret")
    assert "word@" not in str(refused.value)
    with pytest.raises(Refused, match="no repository other"):
        bundles.source_of(plan, "other")
    assert bundles.source_of(plan, "there") == "/srv/x"
    assert bundles.source_of(plan, "here") == str((PLAN.folder / "git/x").resolve())
    assert bundles.source_of(plan, "ssh") == "git@example.invalid:x"


def test_hooks_of_a_repository_do_not_run(repository, bundle, tmp_path):
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    with bundles.bundled(str(repository)):
        pass
    assert bundles.files_in(str(repository), "hosts") == {"hosts/a b/é.conf": "eins\n"}
    assert bundles.files_in(str(repository), "nothing") == {}
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_run_left_is_removed_and_what_runs_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, held, young = (tmp_path / f"dr-workspace-{name}" for name in ("left", "held", "young"))
    for folder in (left, held, young):
        folder.mkdir()
    for folder in (left, held):
        os.utime(folder, (1, 1))
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with workspace() as mine:
        assert mine.stat().st_mode & 0o077 == 0
        assert {each.name for each in tmp_path.iterdir()} == {held.name, young.name, mine.name}
    os.close(handle)
    assert not mine.exists()


def test_a_clone_that_was_killed_is_no_repository_and_is_made_anew(repository, bundle, tmp_path):
    target, torn = tmp_path / "application", tmp_path / ".dr-partial-application"
    (torn / ".git").mkdir(parents=True)
    (torn / "half").write_text("a part")
    path, made = bundle
    bundles.clone(path, target, head=made.state.head, branch=made.state.branch)
    assert not torn.exists()
    assert not (target / "half").exists()
    assert (target / ".git").is_dir()
