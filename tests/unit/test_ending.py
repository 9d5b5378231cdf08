"""Every program ends with its error's own lines and an exit code, never with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAN = Path(__file__).parents[2] / "deployments/plan.yaml"


def ended(*words, plan=PLAN):
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DR_PLAN": str(plan)}
    argv = [sys.executable, "-m", *words]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("deployments.loops", "obsreve"), ("deployments.loops",)])
def test_a_loop_that_the_plan_has_not_is_refused(words):
    code, said = ended(*words)
    assert code == 2
    assert "loops: the plan has no loop" in said
    assert "observe, pull" in said


@pytest.mark.parametrize("words", [("deployments.watch", "us-east-1"), ("deployments.watch",)])
def test_a_site_that_is_no_vantage_is_refused(words):
    code, said = ended(*words)
    assert code == 2
    assert "its vantages: us-west-2, eu-west-1" in said


@pytest.mark.parametrize("program", ["exporter", "loops", "notices", "shipper", "watch"])
def test_a_plan_that_is_not_there_is_named(program, tmp_path):
    code, said = ended(f"deployments.{program}", "observe", plan=tmp_path / "gone.yaml")
    assert code == 2
    assert said.startswith(f"{program}: ")
    assert "gone.yaml" in said
