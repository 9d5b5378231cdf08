"""Every wrong plan is refused through the command line: exit 2, the right path, and what is allowed."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deployments.plan_commands import app

SHIPPED = Path(__file__).parents[3] / "deployments" / "plan.yaml"
EAST = "sites.us-east-1"
WEST = "sites.us-west-2"
FULL = "backup_strategy.database.full_backup"
CRITICAL = "alerting.escalation_policies.critical"
GONE = object()


def spoil(data, path, value):
    """Set, or with GONE delete, what lies at a path."""
    *parents, last = path.split(".")
    for part in parents:
        data = data[int(part) if isinstance(data, list) else part]
    key = int(last) if isinstance(data, list) else last
    if value is GONE:
        del data[key]
    elif isinstance(data, list) and key == len(data):
        data.append(value)
    else:
        data[key] = value


WRONG = yaml.safe_load((Path(__file__).parent / "wrong_plans.yaml").read_text())


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{n}-{wrong['at']}" for n, wrong in enumerate(WRONG)])
def test_wrong_value_is_refused_at_its_path(good, check, wrong):
    spoil(good, wrong["at"], wrong.get("value", GONE))
    code, lines = check(good)
    assert code == 2
    path = wrong.get("path", wrong["at"])
    assert any(line.startswith(f"{path}: ") and wrong["says"] in line and "; " in line for line in lines), (
        lines
    )


def test_what_only_looks_wrong_is_accepted(good, check):
    spoil(good, f"{CRITICAL}.0.level_1", "sre_email")
    spoil(good, "dr_testing.full_failover", GONE)
    spoil(good, f"{WEST}.storage.endpoint", "https://objects.example:443")
    spoil(good, "secrets.redis", "env:REDIS_PASSWORD")
    assert check(good)[0] == 0


def test_a_site_may_have_a_dcs_of_its_own_with_or_without_fence_commands(good, check):
    spoil(good, f"{EAST}.dcs", "own")
    assert check(good)[0] == 0
    off = {"name": "power-off", "command": "power off {site}", "proves": True, "timeout": "2 minutes"}
    spoil(good, f"{EAST}.fence", {"commands": [off]})
    assert check(good)[0] == 0


def test_every_mistake_is_told_at_once(good, check):
    planted = {
        "service.colour": "blue",
        "service.tier": "gold",
        f"{EAST}.hosts.etcd-east.address": "127.2.1.300",
        "recovery.pull_interval": "soon",
        "postgresql_ha.nodes.primary.zone": 7,
        "sla_tiers.premium.rto": "-1 hour",
        f"{FULL}.schedule": "daily at 25:00 UTC",
        "alerting.notification_channels.0": "pagerduty",
        "backups": {},
    }
    for where, value in planted.items():
        spoil(good, where, value)
    del good["mesh"]
    code, lines = check(good)
    assert code == 2
    assert {line.split(": ")[0] for line in lines} == planted.keys() - {"service.tier"} | {"mesh"}


BOMB = b"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nservice: [*c,*c]\n"
# (the file, the path that must be named, words that must be said)
RAW = {
    "a billion laughs": (BOMB, "service.1", "alias"),
    "an anchor": (b"service: &x {name: a}\n", "service", "anchor"),
    "an alias": (b"service: *x\n", "service", "alias"),
    "a merge": (b"base: &b {name: a}\nservice:\n  <<: *b\n", "service.?", "type of its own"),
    "a duplicate key": (b"service: {}\nservice: {}\n", "service", "duplicate"),
    "a nested duplicate key": (b"service: {name: a, name: b}\n", "service.name", "duplicate"),
    "two documents": (b"service: {}\n---\nsites: {}\n", "line 2, column 1", "one document"),
    "a list": (b"- service\n", "file", "not a mapping"),
    "a text": (b"service\n", "file", "not a mapping"),
    "nothing": (b"", "file", "not a mapping"),
    "only comments": (b"# nothing\n", "file", "not a mapping"),
    "no YAML": (b"service: [\n", "line 2, column 1", "not YAML"),
    "a tab": (b"service:\n\tname: a\n", "line 2, column 1", "not YAML"),
    "a Python object": (b"service: !!python/object/apply:os.system ['true']\n", "service", "type of its own"),
    "a tag": (b"service: !secret x\n", "service", "type of its own"),
    "a date": (b"service: {name: 2026-01-01}\n", "service.name", "quote texts"),
    "an impossible date": (b"service: {name: 2026-99-99}\n", "service.name", "quote texts"),
    "a boolean key": (b"service: {on: 1}\n", "service.on", "not a text"),
    "a list as key": (b"service: {? [a] : 1}\n", "service.?", "not a text"),
    "an endless number": (b"service: " + b"9" * 5000 + b"\n", "file", "number"),
    "deep lists": (b"service: " + b"[" * 5000 + b"\n", "service" + ".0" * 12, "too deep"),
    "deep keys": (b"? " * 5000 + b"a\n", ".".join("?" * 13), "too deep"),
    "a byte order mark": (b"\xef\xbb\xbfservice: {}\n", "file", "byte order mark"),
    "UTF-16": ("service: {}\n".encode("utf-16"), "file", "not UTF-8"),
    "UTF-16 without mark": ("service: {}\n".encode("utf-16-le"), "file", "not YAML"),
    "Latin-1": ("service: {name: Zürich}\n".encode("latin-1"), "file", "not UTF-8"),
    "a NUL": (b"service: \x00\n", "file", "not YAML"),
    "too much": (b"#" * (1024 * 1024 + 1), "file", "1 MiB"),
}


@pytest.mark.parametrize("name", RAW)
def test_wrong_file_is_refused(refused, name):
    raw, path, words = RAW[name]
    refused(raw, path, words)


def test_absent_plan_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        result = CliRunner().invoke(app, ["check", str(path)])
        assert result.exit_code == 2
        assert "cannot be read" in result.output


@pytest.mark.parametrize(
    "where",
    ["secrets.redis", "secrets.database_superuser", f"{EAST}.storage.owner", "notifications.slack.webhook"],
)
def test_secret_instead_of_reference_is_refused_and_never_repeated(good, check, where):
    spoil(good, where, "hunter2-is-my-password")
    code, lines = check(good)
    assert code == 2
    assert any(line.startswith(f"{where}: ") and "never the secret" in line for line in lines)
    assert "hunter2" not in "\n".join(lines)


def test_syntax_error_repeats_no_line_of_the_file(check):
    code, lines = check(b"secrets:\n  redis: 'hunter2\n")
    assert code == 2
    assert "hunter2" not in "\n".join(lines)


def _required(data, path=""):
    """Every key of the plan that has a meaning of its own; entries of tables are not required."""
    tables = {"sites", "sla_tiers", "hosts", "files", "repositories", "approvals", "body", "fields"}
    optional = {
        "full_failover",
        "object_lock",
        "status_bucket",
        "exceptions",
        "approvals",
        "notices_token",
        "replay_within",
        "evidence",
        "served_by",
    }
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _required(item, f"{path}.{index}")
    if isinstance(data, dict):
        for key, item in data.items():
            inside = path.rsplit(".", 1)[-1]
            is_step = path.startswith(("disaster_recovery.", "continuity_strategies.")) and path[-1].isdigit()
            is_channel = path.startswith("alerting.notification_channels.")
            is_probe = path.startswith("service.proof.") and key != "path"
            here = f"{path}.{key}" if path else key
            is_optional = key in optional or here == "protection.secrets.files"
            if here in {
                "validation",
                "business_impact",
                "crisis_communication",
                "continuity",
                "drills",
                "readiness",
                "redis_ha",
                "telemetry",
                "maintenance",
            }:  # a service may define none of it
                continue
            if inside not in tables and not (is_optional or is_step or is_channel or is_probe):
                yield here
            yield from _required(item, here)


REQUIRED = list(_required(yaml.safe_load(SHIPPED.read_text())))


@pytest.mark.parametrize("where", REQUIRED)
def test_each_missing_key_is_named(good, check, where):
    spoil(good, where, GONE)
    code, lines = check(good)
    assert code == 2
    parent, _, key = where.rpartition(".")
    assert any(line.startswith(where) or (line.startswith(parent) and key in line) for line in lines), lines
