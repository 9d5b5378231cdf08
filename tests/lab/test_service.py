"""The protected service on a real PostgreSQL, PgBouncer and Redis with a Sentinel, and in their outages."""

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from service_stack import health, running_stack
from waiting import until

from infra.load.ledger import Ledger, missing
from infra.load.load import Load

pytestmark = pytest.mark.lab

# Seconds; a client of the service waits this long.
PATIENCE = 2.0


@pytest.fixture(scope="module")
def stack():
    with running_stack() as stack:
        yield stack


def place(stack, order_id=None, item="book", quantity=1):
    order = {"id": order_id or str(uuid4()), "item": item, "quantity": quantity}
    return httpx.post(f"{stack.url}/orders", json=order, timeout=PATIENCE)


def read(stack, order_id):
    return httpx.get(f"{stack.url}/orders/{order_id}", timeout=PATIENCE)


def test_health_is_the_seeds_shape_with_measured_times(stack):
    answer = health(stack.url)
    assert answer.pop("timestamp") == pytest.approx(time.time(), abs=5)
    times = [check.pop("response_time") for check in answer["checks"].values()]
    assert all(0 < seconds < 1 for seconds in times)
    assert len(set(times)) == 2
    assert answer == {
        "status": "healthy",
        "code": 200,
        "checks": {
            "database": {"status": "healthy", "details": "Database connection successful"},
            "redis": {"status": "healthy", "details": "Redis connection successful"},
        },
    }


def test_an_order_is_acknowledged_when_it_is_in_the_database_and_only_once(stack):
    order_id = str(uuid4())
    answers = [place(stack, order_id) for _ in range(2)]
    assert [(a.status_code, a.json()) for a in answers] == [(201, {"id": order_id, "site": "east"})] * 2
    assert order_id in stack.present()
    assert place(stack, order_id, item="another book").status_code == 409
    newest = httpx.get(f"{stack.url}/orders", params={"limit": 1}).json()
    assert [(order["id"], order["item"]) for order in newest] == [(order_id, "book")]


@pytest.mark.parametrize("wrong", [{"quantity": 0}, {"item": ""}, {"item": "a\x00b"}, {"order_id": "x"}])
def test_a_wrong_order_is_refused(stack, wrong):
    assert place(stack, **wrong).status_code == 422


def test_an_order_that_is_no_text_is_refused(stack):
    body = json.dumps({"id": str(uuid4()), "item": "\ud800", "quantity": 1})
    assert httpx.post(f"{stack.url}/orders", content=body).status_code == 422


def test_a_commit_whose_outcome_is_unknown_is_not_acknowledged(stack):
    with stack.superuser() as connection:
        connection.execute("alter system set synchronous_standby_names = 'nobody'")
        connection.execute("select pg_reload_conf()")
        try:
            time.sleep(0.2)
            assert place(stack).status_code == 503
        finally:
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")
    until(lambda: place(stack).status_code == 201, seconds=2)


def test_reads_go_through_the_cache(stack):
    order_id = place(stack).json()["id"]
    key = f"orders:{order_id}"
    with stack.redis() as cache:
        assert cache.get(key) is None
        first = read(stack, order_id).json()
        assert json.loads(cache.get(key)) == first
        assert 0 < cache.ttl(key) <= 60
        cache.set(key, json.dumps(first | {"item": "from the cache"}))
        assert read(stack, order_id).json()["item"] == "from the cache"
        cache.set(key, "torn")
        assert read(stack, order_id).json() == first
    assert read(stack, uuid4()).status_code == 404


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_without_redis_orders_are_still_taken_and_read(stack, number):
    order_id = place(stack).json()["id"]
    stack.processes["redis"].send_signal(number)
    try:
        assert place(stack).status_code == 201
        assert read(stack, order_id).json()["id"] == order_id
        answer = health(stack.url)
        assert (answer["status"], answer["code"]) == ("unhealthy", 200)
        assert set(answer["checks"]["redis"]) == {"status", "error", "details"}
        assert answer["checks"]["redis"]["details"] == "Redis connection failed"
    finally:
        stack.stop("redis")
        stack.start_redis()
        stack.settled()


def test_an_external_api_is_asked_where_one_is_configured(stack):
    server = HTTPServer((stack.address, 0), SilentHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with ExitStack() as cleanup:
        cleanup.callback(server.server_close)
        url = cleanup.enter_context(
            stack.another_service(external_api=f"http://{stack.address}:{server.server_port}/")
        )
        until(lambda: health(url)["status"] == "healthy")
        assert health(url)["checks"]["external_api"]["details"] == "External API connection successful"
        SilentHandler.code = 500
        answer = health(url)
        server.shutdown()
    assert (answer["status"], answer["code"]) == ("unhealthy", 200)
    assert answer["checks"]["external_api"]["details"] == "External API connection failed"


class SilentHandler(SimpleHTTPRequestHandler):
    code = 200

    def do_GET(self):
        self.send_response(self.code)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("server", ["postgres", "pgbouncer"])
def test_a_hung_database_is_told_within_a_clients_patience(stack, server):
    hung = descendants(stack.processes[server].pid)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert place(stack).status_code == 503
        answer = health(stack.url)
        assert (answer["status"], answer["code"]) == ("unhealthy", 503)
        assert answer["checks"]["database"]["details"] == "Database connection failed"
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    until(lambda: place(stack).status_code == 201, seconds=2)


def descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def test_a_restarted_pgbouncer_is_found_again(stack):
    stack.stop("pgbouncer")
    assert place(stack).status_code == 503
    stack.start_pgbouncer()
    until(lambda: place(stack).status_code == 201, seconds=3)


def test_a_standby_is_not_healthy_until_it_is_promoted(stack):
    stack.stop("postgres", signal.SIGINT)
    (stack.data / "standby.signal").touch()
    stack.start_postgres()
    until(lambda: "takes no orders" in health(stack.url)["checks"]["database"].get("error", ""))
    assert health(stack.url)["code"] == 503
    assert place(stack).status_code == 503
    with stack.superuser() as connection:
        connection.execute("select pg_promote()")
    stack.settled()
    assert place(stack).status_code == 201


def test_no_acknowledged_order_is_lost_when_the_database_crashes_under_load(stack, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    with Load(stack.url, ledger, rate=50):
        until(lambda: ledger.exists() and len(Ledger.read(ledger).acknowledged) > 50)
        stack.stop("postgres", signal.SIGQUIT)
        time.sleep(1.5)
        stack.start_postgres()
        returned = time.time()
        time.sleep(2.5)
    told = Ledger.read(ledger)
    assert told.unacknowledged
    assert missing(told.acknowledged, stack.present()) == set()
    assert told.first_acknowledged_after(returned, "east").acknowledged_at - returned < 2
    assert told.longest_gap().seconds > 1.4
    attempts = len(told.acknowledged) + len(told.unacknowledged)
    seconds = max(e.sent_at for e in told.acknowledged.values()) - min(
        e.sent_at for e in told.acknowledged.values()
    )
    assert attempts == pytest.approx(50 * seconds, rel=0.2)  # the outage did not slow the load down


def test_the_ledger_tells_a_planted_loss(stack, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    with Load(stack.url, ledger, rate=20):
        until(lambda: ledger.exists() and len(Ledger.read(ledger).acknowledged) > 5)
    told = Ledger.read(ledger).acknowledged
    lost = next(iter(told))
    with stack.superuser() as connection:
        connection.execute("delete from orders where id = %s", (lost,))
    assert missing(told, stack.present()) == {lost}


def test_a_request_in_flight_is_answered_before_the_service_ends(stack):
    with stack.superuser() as blocker, blocker.transaction():
        blocker.execute("lock table orders in exclusive mode")
        answers = []
        request = threading.Thread(target=lambda: answers.append(place(stack).status_code))
        request.start()
        time.sleep(0.3)
        stack.processes["service"].terminate()
        time.sleep(0.2)
    request.join()
    stack.stop("service", signal.SIGTERM)
    assert answers == [201]
    stack.start_service()
    stack.settled()
