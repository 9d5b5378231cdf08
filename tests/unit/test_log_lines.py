"""What programs write is one JSON line a record, with what it belongs to, and no secret."""

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from deployments.telemetry import Mask, written
from tasks.clients.masking import every_secret
from tasks.clients.telemetry.labels import labelled, serving
from tasks.clients.telemetry.lines import FIELDS, DailyFile, JsonFormatter, dataset_of, told
from tasks.clients.telemetry.threads import Threads
from tasks.errors import DrError
from tasks.facts.incident import Incident
from tasks.plan.load import load_plan
from tasks.step import step

ROOT = Path(__file__).parents[2]
HOSTILE = 'two\nlines\r\u2028"}\n{"@timestamp": "2000-01-01"} \x00\x1b[31m \ud800 \U0001f600'


CASE = Incident(
    id="inc-1", service="naas-api", failed_site="us-east-1", to_site="us-west-2", epoch=1, reason="planted",
    detected_at="2026-11-27T08:00:00Z", triggered_at="2026-11-27T08:00:00Z",
)  # fmt: skip


def failing(text):
    raise ValueError(text)


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """The lines that were written since, and a logger of this test's own."""
    monkeypatch.setenv("DR_LOG_FOLDER", str(tmp_path))
    monkeypatch.delenv("DR_PLAN", raising=False)

    def read():
        [path] = tmp_path.glob("*.jsonl")
        return [json.loads(line) for line in path.read_bytes().decode("ascii").splitlines()]

    return read


def test_a_line_says_what_it_belongs_to(lines):
    log = logging.getLogger("dr.audit")
    with written("watch", site="us-west-2"), labelled(incident="inc-1"), serving(step="promote", host="db-1"):
        log.info("promoted %s", "db-1", extra=told("promote", "success"))
    [line] = lines()
    assert abs(datetime.fromisoformat(line.pop("@timestamp")) - datetime.now(UTC)).total_seconds() < 60
    assert line.pop("host.name")
    assert line == {
        "log.level": "info",
        "log.logger": "dr.audit",
        "message": "promoted db-1",
        "event.dataset": "audit",
        "event.action": "promote",
        "event.outcome": "success",
        "service.name": "unknown",
        "process.name": "watch",
        "process.pid": os.getpid(),
        "dr.site": "us-west-2",
        "dr.incident": "inc-1",
        "dr.step": "promote",
        "dr.host": "db-1",
    }


def test_labels_end_with_their_block_and_reach_threads(lines):
    log = logging.getLogger("dr.test")
    with written("run"):
        with labelled(incident="inc-1"), Threads(1) as pool:
            pool.submit(log.warning, "inside").result()
        log.warning("outside")
    inside, outside = lines()
    assert inside["dr.incident"] == "inc-1"
    assert "dr.incident" not in outside


def test_a_hostile_message_stays_one_line(lines):
    with written("run"):
        logging.getLogger("dr.test").warning(HOSTILE)
        logging.getLogger("dr.test").warning("x" * 100_000)
    hostile, long = lines()
    assert hostile["message"] == HOSTILE.replace("\ud800", "?")
    assert long["message"].endswith("92000 more characters")


def test_a_record_whose_arguments_do_not_fit_is_written_all_the_same():
    record = logging.makeLogRecord({"msg": "%d of %d", "args": ("one",), "name": "dr.test"})
    assert json.loads(JsonFormatter("naas-api", "run", str).format(record))["message"] == "%d of %d ('one',)"


def test_an_error_has_its_type_and_traceback(lines):
    with written("run"):
        try:
            failing("wrong\nin two lines")
        except ValueError:
            logging.getLogger("dr.test").exception("failed")
    [line] = lines()
    assert line["error.type"] == "ValueError"
    assert line["error.message"] == "wrong\nin two lines"
    assert "raise ValueError(text)" in line["error.stack_trace"]


def test_nothing_is_written_where_nobody_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.delenv("DR_LOG_FOLDER", raising=False)
    monkeypatch.delenv("DR_PLAN", raising=False)
    before = list(logging.getLogger().handlers)
    with written("run"):
        assert logging.getLogger().handlers == before


def test_a_folder_that_cannot_be_made_ends_nothing(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DR_LOG_FOLDER", str(tmp_path / "file" / "logs"))
    with written("run"):
        assert "no JSON lines are written" in caplog.text


def test_many_processes_share_a_days_file(tmp_path):
    code = (
        "import logging, sys; from deployments.telemetry import written\n"
        "with written('run'):\n"
        "    for number in range(300):\n"
        "        logging.getLogger('dr.test').warning('%s %d %s', sys.argv[1], number, 'x' * 5000)"
    )
    environment = {**os.environ, "DR_LOG_FOLDER": str(tmp_path)}
    argv = [sys.executable, "-c", code]
    running = [subprocess.Popen([*argv, str(each)], cwd=ROOT, env=environment) for each in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = [
        json.loads(line)["message"].split()[:2]
        for path in tmp_path.glob("*.jsonl")
        for line in path.read_text().splitlines()
        if line
    ]
    for each in range(3):
        assert [int(number) for process, number in found if process == str(each)] == list(range(300))


def test_a_line_that_a_kill_has_torn_takes_no_other_with_it(tmp_path):
    path = tmp_path / f"dr-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    path.write_text('{"message": "torn')
    handler = DailyFile(tmp_path)
    handler.setFormatter(JsonFormatter("naas-api", "run", str))
    handler.handle(logging.makeLogRecord({"msg": "whole", "name": "dr.test"}))
    handler.close()
    torn, whole = path.read_text().splitlines()
    assert torn == '{"message": "torn'
    assert json.loads(whole)["message"] == "whole"


@pytest.fixture
def planned(tmp_path):
    """A plan whose secrets lie beside it, one of each kind."""
    plan = yaml.safe_load((ROOT / "deployments" / "plan.yaml").read_text())
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    secrets = {
        "redis": "the-redis-password\n",
        "us-east-1/owner.json": '{"access_key": "the-access-key", "secret_key": "the-\\"secret\\"-key"}',
        "evidence_key": "-----BEGIN-----\nMC4CAQAwBQYDK2VwBCIEIPlantedPlantedPlanted\n-----END-----\n",
        "slack_webhook": "https://hooks.example.com/services/the-webhook",
    }
    for name, text in secrets.items():
        place = tmp_path / "secrets" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return load_plan(path)


def test_no_secret_of_the_plan_is_ever_written(planned, tmp_path, monkeypatch):
    folder = tmp_path / "logs"
    monkeypatch.setenv("DR_LOG_FOLDER", str(folder))
    told_all = [
        "redis said the-redis-password",
        'key the-"secret"-key of the-access-key',
        json.dumps({"said": 'the-"secret"-key'}),
        "line MC4CAQAwBQYDK2VwBCIEIPlantedPlantedPlanted",
        "posted to https://hooks.example.com/services/the-webhook",
    ]
    with written("run", planned):
        for text in told_all:
            logging.getLogger("dr.test").warning("%s", text)
            try:
                failing(text)
            except ValueError:
                logging.getLogger("dr.test").exception("failed")
    [path] = folder.glob("*.jsonl")
    text = path.read_text()
    assert len(text.splitlines()) == 10
    for secret in (*every_secret(planned), "the-access-key", "Planted"):
        if secret != "-----BEGIN-----\n":
            assert json.dumps(secret)[1:-1] not in text


def test_a_secret_that_is_rotated_is_masked_as_well(planned):
    mask = Mask(planned)
    assert "the-redis-password" not in mask("the-redis-password")
    (planned.folder / "secrets" / "redis").write_text("another-password")
    mask._due = 0.0
    assert mask("the-redis-password another-password") == "*** ***"
    assert mask("password: not-in-the-plan") == "password: ***"


def test_every_logger_has_readers():
    assert dataset_of("dr.security") == dataset_of("dr.security.door") == "security"
    assert dataset_of("dr.audit") == dataset_of("prefect.flow_runs") == "audit"
    assert dataset_of("dr.watch") == dataset_of("dr.auditor") == dataset_of("root") == "application"


def test_a_step_is_audited_with_its_incident(lines, planned):
    @step("look at {site}")
    def look(_plan, _incident, site):
        return CASE.model_copy(update={"to_site": site})

    # Its record has no store to go to: none of this plan's has its credentials.
    with written("flow", planned), pytest.raises(DrError):
        look.fn(planned, CASE, "eu-west-1")
    audited = [line for line in lines() if line["event.dataset"] == "audit"]
    assert [(it["dr.incident"], it["dr.step"], it["event.outcome"]) for it in audited] == [
        ("inc-1", "look at eu-west-1", "success")
    ]


def test_a_flow_run_writes_lines_with_its_run_and_its_task(tmp_path):
    folder = tmp_path / "logs"
    code = (
        "from prefect import flow, get_run_logger, task\n"
        "from deployments.run import without_server\n"
        "from deployments.telemetry import running_flows\n"
        "@task\ndef look(): get_run_logger().info('looked')\n"
        "@flow\ndef rehearse(): look()\n"
        "with running_flows(), without_server(): rehearse()\n"
    )
    environment = {**os.environ, "DR_LOG_FOLDER": str(folder), "PREFECT_HOME": str(tmp_path)}
    environment.pop("DR_PLAN", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.jsonl")
    found = [json.loads(line) for line in path.read_text().splitlines()]
    [looked] = [line for line in found if line["message"] == "looked"]
    assert (looked["dr.flow"], looked["dr.step"]) == ("rehearse", "look")
    assert looked["event.dataset"] == "audit"
    assert {line["dr.flow_run"] for line in found if "dr.flow_run" in line} == {looked["dr.flow_run"]}
    assert set().union(*found) <= set(FIELDS)
    # People at the terminal read what they always did.
    assert "looked" in done.stderr
    assert "@timestamp" not in done.stderr
