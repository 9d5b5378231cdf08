"""A healthy site passes all four suites; each planted fault is found by its own check, and by no other."""

import pytest
import yaml
from validation_planting import NOBODY, delaying, not_passed, not_replaying, only, validating

from tasks.clients import patroni, records
from tasks.facts.validation import Subject, Validated
from tasks.policy.validation import SUITES
from tasks.validate import validate_smoke
from tasks.validate_integration import validate_integration
from tasks.validate_performance import validate_performance

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long]


@pytest.fixture(scope="module")
def grounds(shared_lab):
    with validating(shared_lab()) as grounds:
        yield grounds


def test_without_a_baseline_the_pace_is_not_known_and_healthy_passes_all_four_suites(grounds):
    plan = grounds.plan
    if records.read(plan, "validation/baseline.json") is None:
        detail = only(validate_performance.fn(plan, grounds.subject), "pace against the baseline", "unknown")
        assert "no baseline" in detail
    grounds.lab.dr("run", "record-baseline")
    grounds.lab.dr("run", "validate-recovery", "--param", f"site={grounds.subject.site}")
    found = Validated.model_validate_json(
        records.read_all(plan, f"validation/sites/{grounds.subject.site}")[-1]
    )
    assert found.verdict == "passed"
    assert {each.suite for each in found.checks} == set(found.suites) == set(SUITES)
    assert {each.outcome for each in found.checks} == {"passed"}
    for each in found.checks:
        print(each.suite, each.name, f"{each.seconds:.2f} s", each.detail)  # noqa: T201 - evidence, with -s


def test_a_failed_suite_fails_the_run_and_is_on_record(grounds):
    standby = grounds.standby
    done = grounds.lab.attempt(
        "run", "validate-recovery", "--param", f"site={standby}", "--param", 'suites=["smoke"]'
    )
    assert done.returncode == 1
    assert f"users are served by {grounds.subject.site}" in done.stderr
    found = Validated.model_validate_json(records.read_all(grounds.plan, f"validation/sites/{standby}")[-1])
    assert (found.verdict, found.suites) == ("failed", ("smoke",))


def test_smoke_finds_the_wrong_site(grounds):
    standby = grounds.standby
    found = not_passed(validate_smoke.fn(grounds.plan, Subject(site=standby)))
    assert {name: each.outcome for name, each in found.items()} == dict.fromkeys(
        ("an order through the public endpoint", "the roles of the servers"), "failed"
    )


def test_integration_finds_a_broken_invariant(grounds):
    with grounds.leading() as connection:
        connection.execute(
            "insert into orders (id, item, quantity, created_at) "
            "values (gen_random_uuid(), 'planted', 1, now() + interval '1 day')"
        )
        try:
            detail = only(
                validate_integration.fn(grounds.plan, grounds.subject), "no-order-comes-from-the-future"
            )
        finally:
            connection.execute("delete from orders where item = 'planted'")
    assert "returns 1 rows" in detail


def test_integration_finds_a_standby_that_does_not_replay(grounds):
    steps = [step.name for step in grounds.plan.validation.workflow]
    at = steps.index("find-it-on-every-standby")
    plan = grounds.changed(f"validation.workflow.{at}.sql.within", "3 seconds")
    leader = patroni.leader(plan, grounds.subject.site)
    standby = next(m for m in patroni.members(plan, grounds.subject.site) if m.name != leader.name)
    with not_replaying(plan, grounds.subject.site, standby.name):
        detail = only(validate_integration.fn(plan, grounds.subject), "workflow: find-it-on-every-standby")
    assert standby.host in detail


def test_integration_finds_a_service_that_does_not_refuse(grounds):
    at = [step.name for step in grounds.plan.validation.workflow].index("refuse-a-wrong-order")
    # A service that takes what it should refuse: here, an order that is no wrong one.
    plan = grounds.changed(f"validation.workflow.{at}.http.body.quantity", 1)
    detail = not_passed(validate_integration.fn(plan, grounds.subject))[
        "workflow: refuse-a-wrong-order"
    ].detail
    assert "did not answer 422" in detail


def test_a_check_that_would_write_is_refused_by_the_database(grounds):
    for query in ("delete from orders returning id", "select 1; delete from orders"):
        plan = grounds.changed("validation.checks.orders-are-whole.sql.query", query)
        assert "orders-are-whole" in not_passed(validate_integration.fn(plan, grounds.subject)), query
    with grounds.leading() as connection:
        assert connection.execute("select count(*) as n from orders").fetchone()["n"] > 0


def test_a_command_that_fails_on_a_host_is_found(grounds):
    check = "every-instance-has-the-uploads"
    plan = grounds.changed(f"validation.checks.{check}.command.argv", ["test", "-r", "{root}/srv/naas/gone"])
    assert "app-east-1" in only(validate_integration.fn(plan, grounds.subject), check)


def test_performance_finds_a_slow_service(grounds):
    grounds.lab.dr("run", "record-baseline")
    assert not_passed(validate_performance.fn(grounds.plan, grounds.subject)) == {}
    with delaying(grounds.plan.service.endpoint, 0.5) as port:
        document = yaml.safe_load(grounds.lab.home.plan_file.read_text())
        endpoint = document["service"]["endpoint"] | {"address": NOBODY, "port": port}
        plan = grounds.changed("service.endpoint", endpoint)
        detail = only(validate_performance.fn(plan, grounds.subject), "pace against the baseline")
    assert "slower" in detail
    assert "over 3 times" in detail


def test_another_probe_is_not_compared(grounds):
    grounds.lab.dr("run", "record-baseline")
    plan = grounds.changed("validation.performance.path", "/health")
    only(validate_performance.fn(plan, grounds.subject), "pace against the baseline", "unknown")
