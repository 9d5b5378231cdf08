"""Everything that exists is backed up, or knowingly not, by somebody, until a day."""

import copy
from datetime import date
from pathlib import Path

import pytest
import yaml

from tasks.plan.load import load_plan
from tasks.policy.coverage import coverage, existing_assets

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
TODAY = date(2026, 11, 24)


@pytest.fixture
def covered(tmp_path):
    """The findings of a spoilt plan, by asset."""
    shipped = yaml.safe_load(PLAN.read_text())

    def judge(spoil=lambda plan: None, today=TODAY):
        document = copy.deepcopy(shipped)
        spoil(document)
        file = tmp_path / "plan.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        found = coverage(load_plan(file), today)
        return {finding.name.removeprefix("coverage of "): finding for finding in found}

    return judge


def test_the_shipped_plan_is_covered(covered):
    found = covered()
    assert {finding.severity for finding in found.values()} == {"ok"}
    assert {"database", "redis", "etcd", "control", "files/uploads", "secrets/plan"} <= found.keys()
    assert "infrastructure@naas.ai" in found["etcd"].detail


def test_what_the_hosts_run_exists_whether_protected_or_not():
    found = existing_assets(load_plan(PLAN))
    assert found["etcd"] == "etcd-east at us-east-1 runs etcd"
    assert found["control"] == "control-west at us-west-2 runs control"


@pytest.mark.parametrize("asset", ["etcd", "control"])
def test_neither_backed_up_nor_excepted_is_critical(covered, asset):
    def spoil(plan):
        exceptions = plan["protection"]["exceptions"]
        plan["protection"]["exceptions"] = [each for each in exceptions if each["asset"] != asset]

    found = covered(spoil)
    assert [name for name, finding in found.items() if finding.severity != "ok"] == [asset]
    assert found[asset].severity == "critical"
    assert "runs" in found[asset].detail


def test_a_service_without_declared_files_is_critical(covered):
    def spoil(plan):
        plan["protection"]["files"] = {"stores": {"program": "storage", "path": "/srv"}}

    assert covered(spoil)["files/service"].severity == "critical"


def test_a_service_without_files_may_be_excepted(covered):
    def spoil(plan):
        plan["protection"]["files"] = {"stores": {"program": "storage", "path": "/srv"}}
        exception = {"asset": "files/service", "reason": "none", "owner": "them", "until": "2030-01-01"}
        plan["protection"]["exceptions"].append(exception)

    assert covered(spoil)["files/service"].severity == "ok"


@pytest.mark.parametrize(
    ("today", "severity"),
    [
        (date(2027, 11, 30), "ok"),
        (date(2027, 12, 1), "warning"),
        (date(2027, 12, 31), "warning"),
        (date(2028, 1, 1), "critical"),
    ],
)
def test_an_exception_ends(covered, today, severity):
    finding = covered(today=today)["etcd"]
    assert finding.severity == severity
    assert "2027-12-31" in finding.detail


def test_an_exception_for_what_does_not_run_ends_all_the_same(covered):
    def spoil(plan):
        exception = {"asset": "files/gone", "reason": "moved", "owner": "them", "until": "2026-01-01"}
        plan["protection"]["exceptions"].append(exception)

    assert covered(spoil)["files/gone"].severity == "critical"
