"""The plan's own secrets as files of a backup: none takes another one's place."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.clients import secret_sources
from tasks.errors import Permanent


def read(folder, monkeypatch, *names):
    monkeypatch.setattr(secret_sources, "references", lambda _: tuple(f"file:{name}" for name in names))
    kept = SimpleNamespace(secrets=SimpleNamespace(manager=None, files={}))
    return secret_sources.read(SimpleNamespace(folder=folder, protection=kept), "secrets/plan", "us-east-1")


@pytest.fixture
def folder(tmp_path):
    for place in (tmp_path / "one", tmp_path / str(tmp_path).lstrip("/") / "one"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(str(place))
    return tmp_path


def test_each_is_a_file_of_its_own(folder, monkeypatch):
    absolute = str(folder / "one")
    assert len(read(folder, monkeypatch, absolute, "one")) == 2


def test_two_that_would_be_one_file_fail_the_backup(folder, monkeypatch):
    absolute = Path(folder / "one")
    with pytest.raises(Permanent, match="would be one file"):
        read(folder, monkeypatch, str(absolute), str(absolute).lstrip("/"))
