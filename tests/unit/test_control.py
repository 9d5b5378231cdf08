import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from deployments.offline import Record
from deployments.reclaim import Attempt, Verdict, is_alive, judge, own_identity, own_pid
from deployments.register import DEPLOYMENTS, Deployment, recovery_modules
from deployments.run import entrypoint_of, parse_parameters, run
from deployments.runner import serve
from infra.control import (
    RECOVERY_POOL,
    ROUTINE_POOL,
    Control,
    client_environment,
    runner_command,
    server_command,
    server_environment,
    worker_command,
)
from infra.ui import seal_ui
from tasks.errors import Permanent, Refused, Transient
from tasks.plan.load import load_plan

CONTROL = Control("127.2.1.71", Path("/srv/prefect"), "admin:open-sesame")
DATABASE = "postgresql+asyncpg://prefect:hush@127.2.1.71:5432/prefect"
PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"


def test_every_setting_is_one_that_this_prefect_knows():
    ours = server_environment(CONTROL, DATABASE, "key")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ours.items():
            patch.setenv(name, value)
        read = type(get_current_settings())().to_environment_variables(exclude_unset=True)
    unknown = set(ours) - set(read) - {"PREFECT_SERVER_ENCRYPTION_KEY", "DO_NOT_TRACK"}
    assert unknown == set(), "a misspelt setting is ignored in silence"


def test_secrets_travel_in_the_environment_only():
    commands = [server_command(CONTROL), worker_command(RECOVERY_POOL), runner_command()]
    words = " ".join(word for command in commands for word in command)
    assert "open-sesame" not in words
    assert "hush" not in words
    assert "open-sesame" not in repr(CONTROL)


def test_only_the_server_knows_its_database():
    assert "hush" not in str(client_environment(CONTROL))
    assert "hush" in str(server_environment(CONTROL, DATABASE, "key"))


def test_the_recovery_worker_leaves_the_first_seconds_to_the_warm_runner():
    assert "--prefetch-seconds=-3" in worker_command(RECOVERY_POOL)
    assert "--prefetch-seconds=0" in worker_command(ROUTINE_POOL)


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        (Attempt(StateType.RUNNING, 500, 1, True, True), Verdict.LEAVE),
        (Attempt(StateType.RUNNING, 0, 1, True, False), Verdict.AGAIN),
        (Attempt(StateType.RUNNING, 0, 3, True, False), Verdict.CRASHED),
        (Attempt(StateType.RUNNING, 500, 1, False, False), Verdict.LEAVE),
        (Attempt(StateType.PENDING, 59, 0, False, False), Verdict.LEAVE),
        (Attempt(StateType.PENDING, 61, 0, False, False), Verdict.AGAIN),
        (Attempt(StateType.PENDING, 61, 0, True, True), Verdict.LEAVE),
        (Attempt(StateType.CANCELLING, 1, 1, True, True), Verdict.CANCEL),
        (Attempt(StateType.CANCELLING, 31, 1, True, True), Verdict.KILL),
        (Attempt(StateType.CANCELLING, 1, 1, True, False), Verdict.CANCELLED),
        (Attempt(StateType.CANCELLING, 31, 1, False, True), Verdict.LEAVE),
    ],
)
def test_what_becomes_of_an_unfinished_run(attempt, verdict):
    assert judge(attempt) is verdict


def test_a_process_is_known_by_more_than_its_number():
    host, pid = socket.gethostname(), os.getpid()
    assert is_alive(own_identity())
    assert is_alive(f"{host}:{pid}"), "as a process worker writes it"
    assert not is_alive(f"{host}:{pid}:1.00"), "another process had this number once"
    assert not is_alive(None)
    assert is_alive("elsewhere:1:1.00"), "what cannot be seen is not declared dead"
    assert own_pid(own_identity()) == pid
    assert own_pid(f"{host}:{pid}") is None


def test_an_ended_process_is_not_alive():
    process = subprocess.Popen([sys.executable, "-c", ""])
    name = f"{socket.gethostname()}:{process.pid}"
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(name), "a zombie"
    process.wait()
    assert not is_alive(name)


def test_the_plans_backup_schedules_carry_their_parameters():
    item = next(item for item in DEPLOYMENTS if item.function == "backup_database")
    full, incremental = item.schedules(load_plan(PLAN).schedules())
    assert (full.slug, full.schedule.cron, full.parameters) == (
        "backup-database-full",
        "0 2 * * *",
        {"kind": "full"},
    )
    assert incremental.parameters == {"kind": "incr"}


def test_what_an_event_triggers_is_not_scheduled():
    item = Deployment("flows.x.backup_configuration", ROUTINE_POOL, DEPLOYMENTS[0].collision)
    caught_up = [schedule.slug for schedule in item.schedules(load_plan(PLAN).schedules())]
    assert caught_up == ["backup-configuration-catch-up"]


def test_recovery_flows_are_imported_ahead():
    assert "flows.fail_over" in recovery_modules()
    assert "flows.backup_database" not in recovery_modules()


def test_a_run_that_was_deleted_does_not_end_the_warm_runner():
    stopping, looked, polled = threading.Event(), [], []

    class Runner:
        def poll(self):
            polled.append(1)

        def reclaim(self):
            looked.append(1)
            if len(looked) == 1:
                raise ObjectNotFound(httpx.ReadError("gone"))
            stopping.set()

    serve(Runner(), stopping, threading.Event())
    assert len(polled) == len(looked) == 2


def test_the_warm_runner_asks_at_once_where_it_is_told(monkeypatch):
    monkeypatch.setattr("deployments.runner.POLL_SECONDS", 3600)
    stopping, due = threading.Event(), threading.Event()

    class Runner:
        def poll(self):
            stopping.set()
            due.set()

        def reclaim(self):
            pass

    due.set()
    serve(Runner(), stopping, due)


def test_a_warm_runner_that_is_to_stop_claims_nothing_more():
    stopping = threading.Event()
    stopping.set()
    serve(None, stopping, threading.Event())


def test_a_flow_is_found_by_either_spelling():
    assert entrypoint_of("fail-over") == entrypoint_of("fail_over") == "flows.fail_over.fail_over"
    with pytest.raises(Refused, match="there is no flow fail_under"):
        entrypoint_of("fail_under")


def test_parameters_are_json_where_they_can_be():
    pairs = ["reason=region down", "count=3", "site=null", 'names=["a"]', "note=a=b"]
    assert parse_parameters(pairs) == {
        "reason": "region down",
        "count": 3,
        "site": None,
        "names": ["a"],
        "note": "a=b",
    }
    with pytest.raises(Refused, match="is not a parameter"):
        parse_parameters(["reason"])


def test_the_ui_may_talk_to_its_own_server_only(tmp_path):
    control = Control("127.2.1.71", tmp_path, "admin:open-sesame")
    seal_ui(control)
    page = control.ui / "v2" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html><head><title>Prefect</title></head></html>")
    seal_ui(control)
    sealed = page.read_text()
    assert "connect-src 'self' http://127.2.1.71:4200 ws://127.2.1.71:4200\"><title>" in sealed
    seal_ui(control)
    assert page.read_text() == sealed


_attempts = []


@task(retries=2, retry_delay_seconds=0)
def _comes_round():
    _attempts.append(1)
    if len(_attempts) < 3:
        raise Transient("not yet")
    return len(_attempts)


@flow
def _inner(number: int):
    return number + 1


@flow
def recovers(fail: bool = False):
    get_run_logger().info("recovering")
    create_markdown_artifact("# done", key="report")
    if fail:
        raise Permanent("cannot")
    return _inner(_comes_round())


def test_a_flow_runs_whole_with_its_server_dead(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    _attempts.clear()
    assert run(f"{__name__}.recovers", {}) == 4
    with pytest.raises(Permanent, match="cannot"):
        run(f"{__name__}.recovers", {"fail": True})


def test_the_offline_record_knows_only_its_own_runs():
    record = Record()
    status, made = record.answer("POST", "/flow_runs/", {"state": {"type": "PENDING"}})
    assert status == 201
    proposed = {"state": {"type": "RUNNING"}}
    assert record.answer("POST", f"/flow_runs/{made['id']}/set_state", proposed)[1]["status"] == "ACCEPT"
    assert record.answer("GET", f"/flow_runs/{made['id']}", {})[1]["state"]["type"] == "RUNNING"
    assert record.answer("GET", "/flow_runs/other", {})[0] == 404
