"""The plan of a process is read once, and again when its file has changed."""

from pathlib import Path

import pytest

from tasks.current import current_plan
from tasks.errors import Refused

SHIPPED = (Path(__file__).parents[2] / "deployments" / "plan.yaml").read_text()


def test_a_plan_is_read_again_when_it_was_written_again(tmp_path, monkeypatch):
    path = tmp_path / "plan.yaml"
    monkeypatch.setenv("DR_PLAN", str(path))
    with pytest.raises(Refused):
        current_plan()
    path.write_text(SHIPPED)
    first = current_plan()
    assert current_plan() is first
    path.write_text(SHIPPED.replace('tier: "premium"', 'tier: "enterprise"', 1))
    assert (first.service.tier, current_plan().service.tier) == ("premium", "enterprise")
    path.write_text("service: {}")
    with pytest.raises(Refused):
        current_plan()
