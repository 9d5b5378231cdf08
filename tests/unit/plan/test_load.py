"""A good plan, wherever and whatever it is: loaded, shown, written back; its secrets stay secret."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deployments.plan_commands import app
from tasks.errors import Permanent
from tasks.plan.availability import DatabaseFailover
from tasks.plan.load import load_fragment, load_plan
from tasks.plan.mistakes import PlanRefused
from tasks.plan.plan import Plan
from tasks.plan.schedule import Schedule

HERE = Path(__file__).parent
SHIPPED = HERE.parents[2] / "deployments" / "plan.yaml"
OTHER = HERE / "other_plan.yaml"


@pytest.mark.parametrize("path", [SHIPPED, OTHER])
def test_plan_is_the_same_when_written_and_read_again(path):
    plan = load_plan(path)
    again = Plan.model_validate(
        plan.model_dump(mode="json", exclude_none=True), context={"folder": plan.folder}
    )
    assert again == plan
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - our own object


def test_other_plan_means_what_it_says():
    plan = load_plan(OTHER)
    assert [plan.site_of(role) for role in ("primary", "dr", "archive")] == ["fra", "osl", "dub"]
    assert (plan.tier.rto, plan.tier.rpo) == (timedelta(minutes=20), timedelta(minutes=3))
    assert plan.patroni_timings == (40, 4, 6)
    assert plan.recovery.replay_within == timedelta(0)
    assert {named.name: named.schedule.cron for named in plan.schedules()} == {
        "backup-database-full": "30 23 * * 6",
        "backup-database-incremental": "*/30 * * * *",
        "backup-files": "0 * * * *",
        "backup-configuration": "0 0 * * *",
        "backup-configuration-catch-up": "0 * * * *",
        "backup-redis": "0 */6 * * *",
        "backup-secrets": "0 1 * * 0",
        "check-wal-archiving": "* * * * *",
        "replicate-backups": "0 * * * *",
        "catalogue-backups": "0 * * * *",
        "verify-backups": "0 */12 * * *",
        "keep-long-term": "0 6 8 1,4,7,10 *",
        "expire-backups": "0 7 * * *",
        "drill-backup-restoration": "0 10 * * 3",
        "drill-failover-testing": "15 13 1 * *",
        "drill-full-dr-exercise": "0 6 22 1 *",
        "sweep-drills": "*/15 * * * *",
        "evaluate-readiness": "*/5 * * * *",
    }
    assert plan.schedules()[0].schedule.timezone == "Europe/Berlin"


def test_schedules_of_the_shipped_plan_are_ordered_and_named_once():
    named = load_plan(SHIPPED).schedules()
    assert [item.name for item in named] == [
        "backup-database-full",
        "backup-database-incremental",
        "backup-files",
        "backup-configuration",
        "backup-configuration-catch-up",
        "backup-redis",
        "backup-secrets",
        "check-wal-archiving",
        "replicate-backups",
        "catalogue-backups",
        "verify-backups",
        "keep-long-term",
        "expire-backups",
        "seal-reports",
        "review-objectives",
        "inform",
        "drill-backup-restoration",
        "drill-failover-testing",
        "drill-full-failover",
        "drill-full-dr-exercise",
        "sweep-drills",
        "evaluate-readiness",
    ]


def test_drills_never_start_together():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    drills = [named.schedule for named in load_plan(SHIPPED).schedules() if named.flow.startswith("drill_")]
    times = [time for drill in drills for time in drill.next_times(start, 24)]
    assert len(set(times)) == len(times) == 96


@pytest.mark.parametrize(
    ("words", "cron", "hours"),
    [
        ("daily at 2:00 AM UTC", "0 2 * * *", 24),
        ("daily at 12:00 AM UTC", "0 0 * * *", 24),
        ("daily at 12:30 PM UTC", "30 12 * * *", 24),
        ("daily at 23:59 UTC", "59 23 * * *", 24),
        ("daily", "0 6 * * *", 24),
        ("weekly on monday at 1:00 PM America/New_York", "0 13 * * 1", 7 * 24),
        ("weekly", "0 6 * * 0", 7 * 24),
        ("every hour", "0 * * * *", 1),
        ("every 1 hour", "0 * * * *", 1),
        ("every 24 hours", "0 0 * * *", 24),
        ("every 60 minutes", "0 * * * *", 1),
        ("monthly", "0 6 1 * *", 31 * 24),
        ("quarterly", "0 6 8 1,4,7,10 *", 92 * 24),
        ("semi-annually", "0 6 15 1,7 *", 184 * 24),
        ("annually", "0 6 22 1 *", 366 * 24),
    ],
)
def test_schedule_is_cron_and_never_waits_longer_than_its_interval(words, cron, hours):
    schedule = Schedule.model_validate(words)
    assert schedule.cron == cron
    assert schedule.interval == timedelta(hours=hours)
    times = schedule.next_times(datetime(2027, 12, 1, tzinfo=UTC), 60)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert max(gaps) == schedule.interval


@pytest.mark.parametrize(("seconds", "timings"), [(30, (20, 2, 3)), (1, (20, 2, 3)), (90, (60, 6, 9))])
def test_patroni_timings_keep_patronis_own_rule(seconds, timings):
    words = f"{seconds} seconds"
    failover = DatabaseFailover(automatic=True, timeout=words, promotion_timeout=words)
    assert failover.patroni_timings == timings
    ttl, loop_wait, retry_timeout = timings
    assert loop_wait + 2 * retry_timeout <= ttl


def test_fragment_checks_across_the_blocks_it_holds(tmp_path, good):
    file = tmp_path / "fragment.yaml"
    file.write_text(yaml.safe_dump({name: good[name] for name in ("sites", "postgresql_ha")}))
    assert load_fragment(file) == ("postgresql_ha", "sites")
    good["postgresql_ha"]["nodes"]["primary"]["name"] = "postgres-9"
    file.write_text(yaml.safe_dump({"postgresql_ha": good["postgresql_ha"]}))
    assert load_fragment(file) == ("postgresql_ha",)
    file.write_text(yaml.safe_dump({name: good[name] for name in ("sites", "postgresql_ha")}))
    with pytest.raises(PlanRefused) as refused:
        load_fragment(file)
    assert [mistake.path for mistake in refused.value.mistakes] == [
        "postgresql_ha.nodes.primary.name",
        "postgresql_ha.nodes.replicas",
    ]


@pytest.fixture
def with_secrets(tmp_path, good, monkeypatch):
    """A plan in a folder of its own, with its secrets beside it."""
    folder = tmp_path / "plan"
    (folder / "secrets" / "us-east-1").mkdir(parents=True)
    (folder / "secrets" / "redis").write_text("hunter2\n")
    owner = {"access_key": "AK", "secret_key": "hunter3"}
    (folder / "secrets" / "us-east-1" / "owner.json").write_text(json.dumps(owner))
    good["secrets"]["patroni_api"] = "env:PATRONI_API"
    monkeypatch.setenv("PATRONI_API", "hunter4")
    (folder / "plan.yaml").write_text(yaml.safe_dump(good, sort_keys=False))
    return load_plan(folder / "plan.yaml")


def test_secrets_resolve_beside_the_plan(with_secrets, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert with_secrets.secret("redis") == "hunter2"
    assert with_secrets.secret("patroni_api") == "hunter4"
    assert with_secrets.secret_path("redis") == tmp_path / "plan" / "secrets" / "redis"
    owner = with_secrets.credentials(with_secrets.sites["us-east-1"].storage.owner)
    assert (owner.access_key, owner.secret_key) == ("AK", "hunter3")
    assert "hunter" not in repr(owner)


def test_secrets_are_never_part_of_the_plan(with_secrets):
    with_secrets.secret("redis")
    assert "hunter" not in repr(with_secrets)
    assert "hunter" not in with_secrets.model_dump_json()
    assert b"hunter" not in pickle.dumps(with_secrets)


def test_unreadable_secrets_are_permanent_and_name_the_reference(with_secrets):
    with pytest.raises(Permanent, match=r"file:secrets/ca\.crt cannot be read"):
        with_secrets.secret("ca_certificate")
    with pytest.raises(Permanent, match="env:PATRONI_API is not a file"):
        with_secrets.secret_path("patroni_api")
    (with_secrets.folder / "secrets" / "redis").write_text("\n")
    with pytest.raises(Permanent, match="is empty"):
        with_secrets.secret("redis")
    (with_secrets.folder / "secrets" / "us-east-1" / "owner.json").write_text('["hunter3"]')
    with pytest.raises(Permanent, match="malformed") as refused:
        with_secrets.credentials(with_secrets.sites["us-east-1"].storage.owner)
    assert "hunter" not in str(refused.value)


def test_template_without_a_value_is_not_sent():
    template = load_plan(SHIPPED).communication_templates.incident_notification
    with pytest.raises(Permanent, match="start_time"):
        template.fill({"service_name": "naas"})


def test_show_prints_the_plan_and_three_times_of_each_schedule(monkeypatch):
    monkeypatch.setenv("DR_PLAN", str(OTHER))
    result = CliRunner().invoke(app, ["show"])
    assert result.exit_code == 0
    effective, _, schedules = result.output.partition("schedules")
    assert yaml.safe_load(effective)["sites"]["fra"]["role"] == "primary"
    for named in load_plan(OTHER).schedules():
        rows = schedules.split(named.name)[1].splitlines()[:3]
        assert named.schedule.cron in rows[0]
        assert all(":" in row for row in rows)


def test_show_falls_back_to_the_shipped_plan(monkeypatch):
    monkeypatch.delenv("DR_PLAN", raising=False)
    assert "drill-full-failover" in CliRunner().invoke(app, ["show"]).output


def test_show_refuses_a_wrong_plan(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("service: {}\n")
    result = CliRunner().invoke(app, ["show", str(file)])
    assert result.exit_code == 2
    assert "service.name: missing; this key is required" in result.output
