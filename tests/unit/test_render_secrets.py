"""What is rendered with its secrets: each in a file of its owner's only, and in no other."""

import stat

import pytest
from third_parties import Plans

from infra.tree import write_all


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return Plans(tmp_path_factory.mktemp("plan")).plan


def test_the_programs_around_the_servers_find_theirs(plan, tmp_path):
    write_all(plan, tmp_path, secrets=True)
    for name in ("prometheus/secrets/prefect_api", "alertmanager/secrets/pagerduty_routing_key"):
        path = tmp_path / name
        assert path.read_text().strip() == plan_secret(plan, name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_holds_no_secret(plan, tmp_path):
    path = tmp_path / "prometheus/secrets/prefect_api"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o644)
    write_all(plan, tmp_path, secrets=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def plan_secret(plan, name):
    return (plan.folder / "secrets" / name.rpartition("/")[2]).read_text().strip()


def test_without_secrets_none_of_them_is_there(plan, tmp_path):
    write_all(plan, tmp_path, secrets=False)
    assert not list(tmp_path.glob("*/secrets/*"))
    known = plan_secret(plan, "prefect_api")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and known in path.read_text()]
