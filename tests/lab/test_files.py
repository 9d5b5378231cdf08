"""Files: snapshots of a real directory in a real store, brought back, damaged, killed, expired."""

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from tasks.clients import restic, restic_spot
from tasks.clients.objects import Bucket
from tasks.clients.restic_command import On
from tasks.clients.trees import tree_digest
from tasks.errors import Permanent, Refused, Transient

pytestmark = pytest.mark.lab

SITE, ARCHIVE, HOST, OTHER_HOST = "us-east-1", "eu-west-1", "app-east-1", "app-east-2"
ASSET, SOURCE = "files/uploads", "/srv/naas/uploads"
ALL = Decimal(1)
BACK_UP = """
import pathlib, sys
from tasks.clients import restic
from tasks.plan.load import load_plan
restic.backup(load_plan(pathlib.Path(sys.argv[1])), *sys.argv[2:], timeout=120)
"""
dice = random.Random()  # noqa: S311 -- faults, not secrets


@dataclass(frozen=True)
class Files:
    """A lab with one snapshot of its uploads in the primary site's repository."""

    lab: object
    plan: object
    first: str

    @property
    def source(self):
        return self.lab.home.root(SITE, HOST) / SOURCE.lstrip("/")

    def back_up(self, host=HOST):
        return restic.backup(self.plan, SITE, host, ASSET, SOURCE, timeout=120)

    def snapshot(self, snapshot_id):
        return next(each for each in restic.snapshots(self.plan, SITE) if each.id == snapshot_id)

    def check(self, site=SITE):
        return restic.check(self.plan, site, share=ALL, timeout=120)


@pytest.fixture(scope="module")
def files(shared_lab):
    lab = shared_lab()
    lab.dr("run", "backup_files")
    [first] = [each for each in restic.snapshots(lab.plan, SITE) if each.asset == ASSET][-1:]
    return Files(lab, lab.plan, first.id)


@pytest.fixture
def extra(files):
    """A file that the source has for one test only."""
    path = files.source / "acme" / "extra"
    yield path
    path.unlink(missing_ok=True)


def write(path, data, mode=0o644):
    path.write_bytes(data)
    path.chmod(mode)
    os.chown(path, path.parent.stat().st_uid, path.parent.stat().st_gid)


def copy_repository(plan, target):
    """What replication does, without its care: every object but locks and birth record."""
    source, copy = Bucket.readable(plan, SITE), Bucket.owned(plan, target)
    for entry in source.list("restic"):
        if not entry.key.startswith(("restic/locks/", "restic/birth")):
            copy.put(entry.key, source.get(entry.key))


def restic_of(lab):
    """The restic processes that run on the lab's hosts."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "restic" and str(process.info["cwd"]).startswith(str(lab.home.directory))
    ]


def test_a_second_snapshot_adds_little_from_whatever_host_it_comes(files):
    def stored():
        return sum(entry.size for entry in Bucket.readable(files.plan, SITE).list("restic/data"))

    before = stored()
    second = files.back_up(OTHER_HOST)
    assert stored() - before < before / 10
    taken = files.snapshot(second)
    assert (taken.asset, taken.files > 300, taken.size > 4_000_000) == (ASSET, True, True)


def test_every_file_is_in_the_snapshot_as_it_is_in_the_source(files):
    taken = files.snapshot(files.first)
    spots = restic_spot.compare(files.plan, SITE, HOST, SOURCE, (taken.id, taken.at), 1000, 60)
    assert spots.files == taken.files
    assert spots.damages == ()


def test_a_file_that_differs_though_it_did_not_change_is_found_and_a_changed_one_is_not(files, extra):
    write(extra, b"as it was")
    taken = files.snapshot(files.back_up())
    times = extra.stat()
    write(extra, b"as it is!")
    assert compared(files, taken).damages == ()
    os.utime(extra, ns=(times.st_atime_ns, times.st_mtime_ns))
    [(name, what)] = compared(files, taken).damages
    assert name == "acme/extra"
    assert "SHA-256" in what


def compared(files, taken):
    return restic_spot.compare(files.plan, SITE, HOST, SOURCE, (taken.id, taken.at), 1000, 60)


def test_everything_comes_back_by_the_flow_with_the_same_digest(files, tmp_path):
    into = tmp_path / "all"
    arguments = ["--param", f"into={into}", "--param", f"snapshot={files.first}"]
    files.lab.dr("run", "restore_files", *arguments)
    assert tree_digest(into / "uploads" / SOURCE.lstrip("/")) == tree_digest(files.source)
    with pytest.raises(Refused, match="holds something"):
        restic.restore(files.plan, SITE, files.first, into, timeout=60)


def test_one_file_and_one_directory_come_back(files, tmp_path):
    odd = min(path for path in files.source.rglob("*[[]final*") if path.stat().st_size)
    directory = files.source / "Müller & Söhne"
    for number, wanted in enumerate((odd, directory)):
        name = wanted.relative_to(files.source)
        into = tmp_path / str(number)
        restic.restore(files.plan, SITE, files.first, into, include=f"{SOURCE}/{name}", timeout=60)
        back = into / SOURCE.lstrip("/") / name
        same = tree_digest if wanted.is_dir() else Path.read_bytes
        assert same(back) == same(wanted)
        others = [each for each in into.rglob("*") if not each.is_dir() and not each.is_relative_to(back)]
        assert others == []


def test_what_the_snapshot_does_not_have_is_not_restored_in_silence(files, tmp_path):
    with pytest.raises(Permanent, match="the snapshot has no"):
        restic.restore(files.plan, SITE, files.first, tmp_path / "x", include=f"{SOURCE}/none", timeout=60)
    assert not (tmp_path / "x").exists()


def test_it_comes_back_on_a_host(files):
    into, host = Path("/srv/restored"), On("us-west-2", "app-west-1")
    restic.restore(files.plan, SITE, files.first, into, on=host, timeout=60)
    into = files.lab.home.root(*host) / "srv/restored"
    assert tree_digest(into / SOURCE.lstrip("/")) == tree_digest(files.source)


@pytest.mark.fault
def test_a_flipped_bit_in_any_kind_of_object_is_found_by_its_key(files):
    bucket = Bucket.owned(files.plan, SITE)
    by_kind = {}
    for entry in bucket.list("restic"):
        by_kind.setdefault(entry.key.split("/")[1], entry.key)
    assert set(by_kind) >= {"data", "index", "snapshots", "keys", "config", "birth.json"}
    for kind, key in by_kind.items():
        whole = bucket.get(key)
        at = dice.randrange(len(whole))
        bucket.put(key, whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
        found = [name for name, _ in files.check()]
        bucket.put(key, whole)
        assert found == [key], f"byte {at} of {kind}"
    assert files.check() == ()


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["data", "index", "config", "keys"])
def test_a_missing_object_is_found(files, kind):
    bucket = Bucket.owned(files.plan, SITE)
    key = next(entry.key for entry in bucket.list("restic") if entry.key.split("/")[1] == kind)
    whole = bucket.get(key)
    bucket.delete(key)
    try:
        found = dict(files.check())
    finally:
        bucket.put(key, whole)
    expected = "restic/index" if kind == "index" else key
    assert expected in found
    assert files.check() == ()


@pytest.mark.fault
def test_a_repository_without_its_config_is_not_made_anew(files):
    bucket = Bucket.owned(files.plan, SITE)
    whole = bucket.get("restic/config")
    bucket.delete("restic/config")
    try:
        with pytest.raises(Permanent, match="lost its config"):
            files.back_up()
    finally:
        bucket.put("restic/config", whole)
    assert files.snapshot(files.first)


@pytest.mark.fault
def test_a_file_that_cannot_be_read_fails_the_backup_by_name(files, extra):
    write(extra, b"nobody may read this")
    extra.chmod(0)
    os.chown(extra, 0, 0)
    with pytest.raises(Permanent, match="cannot be read") as failed:
        files.back_up()
    assert "acme/extra" in str(failed.value)
    assert not restic.snapshots(files.plan, SITE)[-1].whole


@pytest.mark.fault
def test_an_empty_source_is_refused(files):
    aside = files.source.with_name("aside")
    files.source.rename(aside)
    try:
        files.source.mkdir()
        with pytest.raises(Refused, match="holds no file"):
            files.back_up()
    finally:
        files.source.rmdir()
        aside.rename(files.source)


@pytest.mark.fault
def test_a_backup_killed_in_the_middle_is_taken_again(files, extra):
    write(extra, os.urandom(150_000_000))
    before = packs(files)
    argv = [sys.executable, "-c", BACK_UP, str(files.lab.home.plan_file), SITE, HOST, ASSET, SOURCE]
    backup = subprocess.Popen(argv)
    wait_for(lambda: packs(files) > before + 1)
    for process in restic_of(files.lab):
        process.kill()
    backup.kill()
    backup.wait(10)
    extra.unlink()
    taken = files.back_up()
    assert files.check() == ()
    assert compared(files, files.snapshot(taken)).damages == ()


def packs(files):
    return sum(1 for _ in Bucket.readable(files.plan, SITE).list("restic/data"))


def wait_for(condition, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_snapshots_are_forgotten_where_objects_are_locked_and_the_copy_stays_whole(files, tmp_path):
    copy_repository(files.plan, ARCHIVE)
    held = [each.id for each in restic.snapshots(files.plan, ARCHIVE)]
    gone = [each for each in held if each != files.first]
    restic.forget(files.plan, ARCHIVE, gone, timeout=120)
    assert [each.id for each in restic.snapshots(files.plan, ARCHIVE)] == [files.first]
    assert files.check(ARCHIVE) == ()
    restic.restore(files.plan, ARCHIVE, files.first, tmp_path / "archive", timeout=60)
    assert tree_digest(tmp_path / "archive" / SOURCE.lstrip("/")) == tree_digest(files.source)


@contextmanager
def held(plan):
    """A restic that writes the repository, and dies without a word."""
    storage = plan.sites[SITE].storage
    owner = plan.credentials(storage.owner)
    environment = {
        "PATH": os.environ["PATH"],
        "RESTIC_PASSWORD": plan.secret("files_cipher"),
        "AWS_ACCESS_KEY_ID": owner.access_key,
        "AWS_SECRET_ACCESS_KEY": owner.secret_key,
    }
    argv = [
        "restic", f"--repo=s3:{storage.endpoint}/{storage.bucket}/restic", "--no-cache",
        f"--cacert={plan.secret_path('ca_certificate')}", "backup", "--stdin",
    ]  # fmt: skip
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as holder:
        try:
            wait_for(lambda: list(Bucket.readable(plan, SITE).list("restic/locks")))
            yield
        finally:
            holder.kill()


def test_a_repository_that_somebody_holds_is_not_pruned(files):
    extra = files.back_up()
    with held(files.plan), pytest.raises(Transient, match="locked"):
        restic.forget(files.plan, SITE, [extra], timeout=60)
    assert files.snapshot(extra)
    assert list(Bucket.readable(files.plan, SITE).list("restic/locks"))
    restic.forget(files.plan, SITE, [extra], timeout=60)
    assert extra not in {each.id for each in restic.snapshots(files.plan, SITE)}
    assert not list(Bucket.readable(files.plan, SITE).list("restic/locks"))
