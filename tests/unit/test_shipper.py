"""Lines reach Elasticsearch, each once, whatever dies on the way. The server is a real one on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from bulk_receiver import API_KEY, elasticsearch

from deployments.shipper import Naming, Shipper
from infra.lab.control import control_servers
from infra.lab.home import DEFAULT_PLAN, Home, lab_plan
from infra.lab.secrets import make_secrets
from tasks.clients import log_files
from tasks.clients.dead_letters import DeadLetters
from tasks.clients.elasticsearch import Cluster, Document, _of_one, create_all, index_of
from tasks.errors import Permanent

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
LOGS = {
    "folder": "/var/log/naas-dr", "kept": "7 days", "elasticsearch": "https://logs.example.com",
    "api_key": "env:ES_KEY",
}  # fmt: skip
MOODS = ["fine", "fine", "busy", "broken", "dropped", "partly"]


def line(number, at="2026-11-20T08:00:00.000+00:00", **more):
    known = {"@timestamp": at, "event.dataset": "application", "message": f"line {number}", "number": number}
    return json.dumps(known | more) + "\n"


def cluster(server, key=API_KEY):
    return Cluster(server.url, key)


def shipper(folder, server, kept_s=3600.0):
    return Shipper(folder, lambda: cluster(server), Naming("naas-api", DAY), kept_s)


def ship_all(one):
    while one.ship(threading.Event()):
        pass


def letters(folder):
    text = (folder / "shipper" / "dead-letters.ndjson").read_text()
    return [json.loads(each) for each in text.splitlines()]


def numbers(server):
    """What arrived of ours, in the order in which it stood in its file; a shipper writes lines as well."""
    placed = sorted(server.sources(), key=lambda it: (it["log.file.path"], it["log.offset"]))
    return [it["number"] for it in placed if "number" in it]


@contextmanager
def shipping(folder, server):
    """`python -m deployments.shipper` with a plan of its own; killed with -9 at the end."""
    plan = yaml.safe_load((ROOT / "deployments" / "plan.yaml").read_text())
    plan["telemetry"] = {"logs": LOGS | {"folder": str(folder), "elasticsearch": server.url}}
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    environment = {**os.environ, "DR_PLAN": str(path), "ES_KEY": API_KEY}
    process = subprocess.Popen([sys.executable, "-m", "deployments.shipper"], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def eventually(what, seconds=60.0):
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.02)


def test_every_line_arrives_once_though_server_and_shipper_are_killed(tmp_path):
    wanted, kept = 5000, {}
    path = tmp_path / "dr-2026-11-20.jsonl"
    with path.open("w") as file:
        for number in range(wanted // 2):
            file.write(line(number))
    with elasticsearch(documents=kept) as server:
        port = server.server_port
        server.moods = MOODS
        with shipping(tmp_path, server):  # killed with -9 once a part is there
            eventually(lambda: len(kept) > 500)
            assert len(numbers(server)) < wanted // 2
    with path.open("a") as file:
        for number in range(wanted // 2, wanted):
            file.write(line(number))
    with shipping(tmp_path, server):  # its server is dead
        with elasticsearch(port, kept) as server:
            server.moods = MOODS
            eventually(lambda: len(kept) > wanted // 2)
        with elasticsearch(port, kept) as server:
            eventually(lambda: len(numbers(server)) >= wanted)
            assert numbers(server) == list(range(wanted))
    assert "naas-api-logs-application-2026.11.20" in {index for index, _ in kept}
    assert not letters(tmp_path)


def test_what_is_refused_is_kept_once_and_holds_up_nothing(tmp_path):
    path = tmp_path / "dr-2026-11-20.jsonl"
    broken = ['{"torn\n', "[1]\n", '{"event.dataset": "audit"}\n', "\n", '{"@timestamp": 3}\n']
    path.write_text("".join([line(1), *broken, line(2, message="planted"), line(3)]))
    with elasticsearch() as server:
        server.refused = ["planted"]
        ship_all(shipper(tmp_path, server))
        assert numbers(server) == [1, 3]
        assert len(letters(tmp_path)) == 5
        assert "document_parsing_exception" in letters(tmp_path)[-1]["reason"]
        # As if it had been killed before it wrote its position down.
        (tmp_path / "shipper" / "position.json").unlink()
        ship_all(shipper(tmp_path, server))
        assert numbers(server) == [1, 3]
        assert len(letters(tmp_path)) == 5


def test_a_torn_dead_letter_takes_no_other_with_it(tmp_path):
    path = tmp_path / "letters"
    DeadLetters(path).keep([("a", "why", "text")])
    with path.open("a") as file:
        file.write('{"id": "b", "rea')
    after = DeadLetters(path)
    assert after.count == 1
    after.keep([("a", "why", "text"), ("b", "why", "text")])
    assert [json.loads(each)["id"] for each in path.read_text().splitlines() if each.endswith("}")] == [
        "a",
        "b",
    ]


def test_the_next_days_file_is_followed_and_a_shipped_one_removed(tmp_path):
    first, second = tmp_path / "dr-2026-11-19.jsonl", tmp_path / "dr-2026-11-20.jsonl"
    late = "2026-11-19T23:59:59.000+00:00"
    with elasticsearch() as server:
        one = shipper(tmp_path, server, kept_s=0)
        first.write_text(line(1, late))
        ship_all(one)
        second.write_text(line(3))
        first.write_text(line(1, late) + line(2, late) + line(9, late)[:20])  # ended by a kill
        ship_all(one)
        assert numbers(server) == [1, 2, 3]
        assert first.exists()  # a part of a line is not shipped yet
        long_ago = time.time() - 3600
        os.utime(first, (long_ago, long_ago))
        ship_all(one)
        assert len(letters(tmp_path)) == 1
        assert not first.exists()
        assert second.exists()
        assert {index.rpartition("-")[2] for index, _ in server.documents} == {"2026.11.19", "2026.11.20"}


def test_a_file_that_was_cut_or_replaced_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "dr-2026-11-20.jsonl"
    with elasticsearch() as server:
        one = shipper(tmp_path, server)
        path.write_text(line(1) + line(2))
        ship_all(one)
        path.write_text(line(3))
        ship_all(one)
        path.rename(tmp_path / "kept")
        path.write_text(line(4) + line(5) + line(6))
        ship_all(one)
        assert sorted(it["number"] for it in server.sources()) == [1, 2, 3, 4, 5, 6]


def test_no_document_is_blamed_for_a_wrong_key(tmp_path):
    (tmp_path / "dr-2026-11-20.jsonl").write_text(line(1))
    with elasticsearch() as server:
        with pytest.raises(Permanent, match="lets nobody in"):
            create_all(cluster(server, "wrong"), [Document("index", "1", "{}")])
        stopping = threading.Event()
        one = Shipper(tmp_path, lambda: cluster(server, "wrong"), Naming("naas-api", DAY), 0)
        threading.Timer(0.5, stopping.set).start()
        one.ship(stopping)
        assert server.requests > 1
        assert not letters(tmp_path)
        ship_all(shipper(tmp_path, server))
        assert numbers(server) == [1]


def test_a_key_that_was_rotated_is_read_again(tmp_path):
    (tmp_path / "dr-2026-11-20.jsonl").write_text(line(1))
    keys = iter(["withdrawn", API_KEY])
    with elasticsearch() as server:
        ship_all(Shipper(tmp_path, lambda: cluster(server, next(keys)), Naming("naas-api", DAY), 0))
        assert numbers(server) == [1]


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_forbidden_now_is_no_fault_of_the_line(status):
    item = {"status": status, "error": {"type": "security_exception"}}
    assert _of_one(Document("index", "1", "{}"), item).again == (Document("index", "1", "{}"),)
    assert _of_one(Document("index", "1", "{}"), item | {"status": 400}).refused


@pytest.mark.parametrize(
    "broken",
    [
        line(1, "0001-01-01T00:00:00+05:00"),
        line(1, **{"event.dataset": 7}),
        "[" * 100_000 + "\n",
        "[]\n",
        '{"@timestamp": null}\n',
    ],
    ids=["a moment before all", "another dataset", "too deep", "a list", "no moment"],
)
def test_a_line_that_is_none_holds_no_other_up(tmp_path, broken):
    (tmp_path / "dr-2026-11-20.jsonl").write_text(broken + line(2))
    with elasticsearch() as server:
        ship_all(shipper(tmp_path, server))
        assert 2 in numbers(server)


def test_dead_letters_are_nobody_elses(tmp_path):
    DeadLetters(tmp_path / "dead-letters.ndjson")
    assert (tmp_path / "dead-letters.ndjson").stat().st_mode & 0o007 == 0


def test_a_request_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_found(tmp_path):
    documents = [Document("index", str(number), json.dumps({"number": number})) for number in range(9)]
    documents[4] = Document("index", "4", "{no json")
    with elasticsearch() as server:
        outcome = create_all(cluster(server), documents)
        assert outcome.kept == 8
        assert [document.id for document, _ in outcome.refused] == ["4"]


def test_a_line_without_an_end_comes_in_pieces_and_memory_is_bounded(tmp_path):
    (tmp_path / "dr-2026-11-20.jsonl").write_bytes(b"x" * (3 << 20) + b"\n" + line(1).encode())
    with elasticsearch() as server:
        ship_all(shipper(tmp_path, server))
        assert [len(letter["text"]) for letter in letters(tmp_path)] == [1 << 20] * 3
        assert numbers(server) == [1]
        files = log_files.LogFiles(tmp_path, tmp_path / "none")
        assert sum(len(each.content) for each in files.batch(500, 2 << 20).lines) <= 3 << 20


@pytest.mark.long
def test_a_shipper_before_a_dead_server_holds_no_more_than_a_batch(tmp_path):
    def peak(process):
        status = Path(f"/proc/{process.pid}/status").read_text()
        return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM")) / 1024

    with elasticsearch() as server:
        pass
    with shipping(tmp_path, server) as process:
        eventually((tmp_path / "shipper" / "position.json").exists)
        idle = peak(process)
        with (tmp_path / "dr-2026-11-20.jsonl").open("w") as file:
            for number in range(80_000):
                file.write(line(number, message="x" * 900))
        time.sleep(2)
        assert peak(process) - idle < 40
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_an_index_is_called_by_the_moment_of_its_lines():
    at = datetime(2026, 11, 27, 13, 5, tzinfo=UTC)
    assert index_of("naas", "audit", at, DAY) == "naas-logs-audit-2026.11.27"
    assert index_of("naas", "audit", at, timedelta(hours=1)) == "naas-logs-audit-2026.11.27-13"
    assert index_of("naas", "audit", at, timedelta(weeks=1)) == "naas-logs-audit-2026.11.23"


@pytest.mark.parametrize("wanted", [True, False])
def test_the_lab_starts_it_where_the_plan_ships_logs(tmp_path, wanted):
    home = Home(tmp_path)
    plan = yaml.safe_load(lab_plan(home, DEFAULT_PLAN, "loopback"))
    if wanted:
        plan["telemetry"] = {"logs": LOGS}
    home.begin("loopback", yaml.safe_dump(plan, sort_keys=False))
    make_secrets(home.plan(), tmp_path)
    servers = control_servers(home, home.plan(), "us-west-2", "control-west")
    assert any(server.key.endswith("/shipper") for server in servers) == wanted


def test_a_plan_that_ships_nothing_is_refused():
    environment = {**os.environ, "DR_PLAN": str(ROOT / "deployments" / "plan.yaml")}
    argv = [sys.executable, "-m", "deployments.shipper"]
    done = subprocess.run(
        argv, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "no logs are shipped" in done.stderr
