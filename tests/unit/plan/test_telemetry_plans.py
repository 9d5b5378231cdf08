"""Where logs and traces go: off unless said, and refused where it is said wrongly."""

import pytest

from tasks.plan.plan import Plan

LOGS = {
    "folder": "/var/log/naas-dr", "kept": "7 days", "elasticsearch": "https://logs.example.com:9200",
    "api_key": "file:secrets/elasticsearch_api_key",
}  # fmt: skip
TRACES = {"endpoint": "https://traces.example.com:4318/v1/traces", "always": ["incidents"]}
WRONG = [
    ({"logs": LOGS | {"folder": "logs"}}, "telemetry.logs.folder", "/var/log"),
    ({"logs": LOGS | {"api_key": "c2VjcmV0"}}, "telemetry.logs.api_key", "file:PATH"),
    ({"logs": LOGS | {"elasticsearch": "logs:9200"}}, "telemetry.logs.elasticsearch", "https://HOST"),
    (
        {"logs": LOGS | {"elasticsearch": "https://me:pw@logs"}},
        "telemetry.logs.elasticsearch",
        "https://HOST",
    ),
    ({"logs": LOGS | {"kept": "for ever"}}, "telemetry.logs.kept", "duration"),
    ({"traces": {}}, "telemetry.traces.endpoint", "missing"),
    ({"traces": TRACES | {"always": ["backups"]}}, "telemetry.traces.always.0", "incidents"),
    ({"traces": TRACES | {"always": ["drills", "drills"]}}, "telemetry.traces.always", "once"),
    ({"metrics": {}}, "telemetry.metrics", "unknown key"),
]


def test_nothing_is_told_unless_the_plan_says_so(good, check):
    assert good["telemetry"] == {}
    del good["telemetry"]
    assert check(good)[0] == 0


def test_plan_is_the_same_when_written_and_read_again(good):
    good["telemetry"] = {"logs": LOGS, "traces": TRACES}
    plan = Plan.model_validate(good)
    assert plan.telemetry.traces.always == ("incidents",)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(("block", "path", "says"), WRONG)
def test_what_is_wrong_is_refused_at_its_path(good, check, block, path, says):
    good["telemetry"] = block
    code, lines = check(good)
    assert code == 2
    assert any(line.startswith(f"{path}:") and says in line for line in lines), lines


def test_a_dashboard_that_nobody_draws_is_refused(good, check):
    good["monitoring"]["logging"]["kibana"]["dashboards"] = "security, weather"
    code, lines = check(good)
    assert code == 2
    assert "security, application, audit" in "\n".join(lines)
