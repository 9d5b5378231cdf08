"""What an operator types: wrong words are refused with the next action, and nothing is lost by them."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments import cli
from tasks.errors import Refused

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    file = tmp_path / "plan.yaml"
    shutil.copy(PLAN, file)
    monkeypatch.setenv("DR_PLAN", str(file))
    return file


def typed(*words):
    return CliRunner().invoke(cli.app, list(words))


def test_a_plan_is_never_written_over_by_its_own_picture(plan, tmp_path):
    before = plan.read_text()
    assert isinstance(typed("plan", "impact", str(plan)).exception, Refused)
    assert plan.read_text() == before
    page = tmp_path / "impact.html"
    assert typed("plan", "impact", str(page)).exit_code == 0
    assert "<svg" in page.read_text()
