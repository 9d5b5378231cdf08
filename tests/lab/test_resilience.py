"""What the service does without its database, its Redis, or room for everybody; acting and releasing."""

import signal
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from service_stack import health, running_stack
from waiting import until

from tasks.clients.flag_settings import KEY, FlagSetting

pytestmark = pytest.mark.lab

PATIENCE = 2.0
QUEUE = "notes:queue"
CRITICAL = {"X-Request-Priority": "critical"}
# One for all, which is cheap, with a connection for each request, which outlives no service.
CLIENT = httpx.Client(
    timeout=PATIENCE, trust_env=False, limits=httpx.Limits(max_connections=50, max_keepalive_connections=0)
)


@pytest.fixture(scope="module")
def stack():
    with running_stack() as stack:
        yield stack


def place(url, order_id=None):
    order = {"id": order_id or str(uuid4()), "item": "book", "quantity": 1}
    return CLIENT.post(f"{url}/orders", json=order)


def read(url, order_id):
    return CLIENT.get(f"{url}/orders/{order_id}")


def latest(url, headers=None):
    return CLIENT.get(f"{url}/orders", params={"limit": 5}, headers=headers)


def annotate(url, text, order_id, note_id=None):
    note = {"id": note_id or str(uuid4()), "note": text}
    return CLIENT.post(f"{url}/orders/{order_id}/notes", json=note)


def notes(stack, order_id):
    """What PostgreSQL has, in the order in which it was written."""
    query = "select note from order_notes where order_id = %s order by position"
    with stack.superuser() as connection:
        return [row[0] for row in connection.execute(query, (order_id,)).fetchall()]


def waiting(stack):
    with stack.redis() as redis:
        return redis.xlen(QUEUE)


def set_flag(stack, name, lasting_s=None):
    now = datetime.now(UTC)
    until_ = now + timedelta(seconds=lasting_s) if lasting_s else None
    setting = FlagSetting(on=True, by="a test", why="to see it", at=now, until=until_)
    with stack.redis() as redis:
        redis.hset(KEY, name, setting.model_dump_json())


@contextmanager
def flagged(stack, name):
    set_flag(stack, name)
    try:
        yield
    finally:
        with stack.redis() as redis:
            redis.hdel(KEY, name)


@contextmanager
def no_database(stack):
    stack.stop("postgres", signal.SIGQUIT)
    try:
        until(lambda: place(stack.url).status_code == 503)
        yield
    finally:
        stack.start_postgres()
        stack.settled()


@contextmanager
def no_redis(stack):
    stack.stop("redis")
    try:
        yield
    finally:
        stack.start_redis()
        stack.settled()


def is_refused(answer, word):
    refused = answer.status_code == 503 and word in answer.json()["detail"]
    return refused and int(answer.headers["Retry-After"]) > 0


def test_read_only_refuses_orders_at_once_and_goes_on_reading(stack):
    order_id = place(stack.url).json()["id"]
    with flagged(stack, "read_only"):
        until(lambda: is_refused(place(stack.url), "read-only"), seconds=5)
        assert read(stack.url, order_id).status_code == 200
        assert latest(stack.url).status_code == 200
        assert annotate(stack.url, "later", order_id).status_code == 202
        assert notes(stack, order_id) == []
    until(lambda: place(stack.url).status_code == 201, seconds=5)
    until(lambda: notes(stack, order_id) == ["later"], seconds=5)


def test_a_flag_releases_itself_when_its_time_is_over(stack):
    set_flag(stack, "read_only", lasting_s=3)
    until(lambda: is_refused(place(stack.url), "read-only"), seconds=3)
    until(lambda: place(stack.url).status_code == 201, seconds=6)


@pytest.mark.long
def test_what_is_no_setting_leaves_a_flag_alone(stack):
    with stack.redis() as redis:
        redis.hset(KEY, "read_only", "true")
    set_flag(stack, "shed_low_priority", lasting_s=4)
    until(lambda: latest(stack.url).status_code == 503, seconds=4)  # so the other one was read as well
    assert place(stack.url).status_code == 201
    with stack.redis() as redis:
        redis.delete(KEY)


@pytest.mark.long
def test_without_redis_flags_have_their_defaults(stack):
    with stack.another_service(flags={"shed_low_priority": True}) as other:
        until(lambda: health(other)["status"] == "healthy")
        set_flag(stack, "read_only")
        until(lambda: is_refused(place(other), "read-only"), seconds=5)
        with no_redis(stack):
            until(lambda: place(other).status_code == 201, seconds=10)
            assert is_refused(latest(other), "low priority")
            assert place(stack.url).status_code == 201
            assert latest(stack.url).status_code == 200


def test_low_priority_is_shed_by_flag_unless_it_says_that_it_matters(stack):
    order_id = place(stack.url).json()["id"]
    with flagged(stack, "shed_low_priority"):
        until(lambda: is_refused(latest(stack.url), "low priority"), seconds=5)
        assert latest(stack.url, CRITICAL).status_code == 200
        assert read(stack.url, order_id).status_code == 200
        assert place(stack.url).status_code == 201
    until(lambda: latest(stack.url).status_code == 200, seconds=5)


@pytest.mark.long
def test_saturation_refuses_what_matters_least_first_and_everybody_is_served_afterwards(stack):
    with stack.another_service(capacity=4) as other:
        until(lambda: health(other)["status"] == "healthy")
        order_id = place(other).json()["id"]
        with hung_redis(stack):  # a read of an order waits for it; a list does not
            with kept_busy(other, order_id, 2):
                until(lambda: is_refused(latest(other), "low priority"), seconds=10, pause=0.02)
                assert read(other, order_id).status_code == 200
            with kept_busy(other, order_id, 3):
                until(lambda: is_refused(read(other, order_id), "normal priority"), seconds=10, pause=0.02)
                assert latest(other, CRITICAL).status_code == 200
            with kept_busy(other, order_id, 8):
                until(lambda: is_refused(latest(other, CRITICAL), "critical"), seconds=10, pause=0.02)
            assert latest(other).status_code == 200
            assert place(other).status_code == 201


@contextmanager
def hung_redis(stack):
    stack.processes["redis"].send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stack.processes["redis"].send_signal(signal.SIGCONT)
        stack.settled()


@contextmanager
def kept_busy(url, order_id, clients):
    """So many clients, each with a critical request under way nearly always."""
    over = threading.Event()

    def insist():
        while not over.is_set():
            CLIENT.get(f"{url}/orders/{order_id}", headers=CRITICAL, timeout=5)

    threads = [threading.Thread(target=insist) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_without_a_database_known_orders_are_read_and_said_to_be_possibly_stale(stack):
    order_id, unknown = place(stack.url).json()["id"], place(stack.url).json()["id"]
    first = read(stack.url, order_id)
    assert "X-Possibly-Stale" not in first.headers
    with no_database(stack):
        from_redis = read(stack.url, order_id)
        assert (from_redis.status_code, from_redis.json()) == (200, first.json())
        assert from_redis.headers["X-Possibly-Stale"]
        assert is_refused(read(stack.url, unknown), "database is unavailable")
        assert is_refused(latest(stack.url), "database is unavailable")
        with stack.redis() as redis:
            redis.delete(f"orders:{order_id}")
        at_hand = read(stack.url, order_id)
        assert (at_hand.status_code, at_hand.json()) == (200, first.json())
        assert at_hand.headers["X-Possibly-Stale"]
    assert "X-Possibly-Stale" not in read(stack.url, unknown).headers


def test_notes_are_written_at_once_while_all_is_well_and_only_once(stack):
    order_id, note_id = str(uuid4()), str(uuid4())
    answers = [annotate(stack.url, "gift", order_id, note_id) for _ in range(2)]
    assert [(a.status_code, a.json()["state"]) for a in answers] == [(201, "written")] * 2
    assert annotate(stack.url, "something else", order_id, note_id).status_code == 409
    assert notes(stack, order_id) == ["gift"]
    listed = CLIENT.get(f"{stack.url}/orders/{order_id}/notes").json()
    assert [(note["id"], note["note"]) for note in listed] == [(note_id, "gift")]


def test_notes_wait_for_the_database_and_are_written_in_their_order(stack):
    order_id = str(uuid4())
    wanted = [f"note {n}" for n in range(120)]  # more than one batch
    with no_database(stack):
        answers = [annotate(stack.url, text, order_id) for text in wanted]
        assert {answer.status_code for answer in answers} == {202}
        stack.stop("service")  # whoever drains them need not be who took them
        stack.start_service()
        until(lambda: health(stack.url)["status"] != "away")
        assert annotate(stack.url, "the last", order_id).status_code == 202
    until(lambda: len(notes(stack, order_id)) > 120, seconds=10)
    assert notes(stack, order_id) == [*wanted, "the last"]
    until(lambda: waiting(stack) == 0, seconds=5)
    until(lambda: annotate(stack.url, "after", order_id).status_code == 201, seconds=5)


def test_an_instance_killed_between_the_write_and_its_acknowledgement_writes_nothing_twice(stack):
    order_id = str(uuid4())
    with no_database(stack):
        for n in range(5):
            assert annotate(stack.url, f"note {n}", order_id).status_code == 202
        # From here on the queue can be read but not changed: what is written stays in it.
        with stack.redis() as redis:
            redis.client_pause(30_000, all=False)
        stack.start_postgres()
        until(lambda: len(notes(stack, order_id)) == 5, seconds=10)
        stack.stop("service")
        stack.stop("postgres", signal.SIGQUIT)
        with stack.redis() as redis:
            redis.client_unpause()
        assert waiting(stack) == 5
        stack.start_service()
    until(lambda: waiting(stack) == 0, seconds=10)
    assert notes(stack, order_id) == [f"note {n}" for n in range(5)]


@pytest.mark.long
def test_two_instances_drain_one_queue_once_and_in_order(stack):
    order_id = str(uuid4())
    with stack.another_service() as other:
        until(lambda: health(other)["status"] == "healthy")
        with no_database(stack):
            for n in range(40):
                assert annotate((stack.url, other)[n % 2], f"note {n}", order_id).status_code == 202
        until(lambda: waiting(stack) == 0, seconds=10)
    assert notes(stack, order_id) == [f"note {n}" for n in range(40)]


@pytest.mark.long
def test_notes_are_deferred_by_flag_while_the_database_is_well(stack):
    order_id = str(uuid4())
    with flagged(stack, "defer_notes"):
        until(lambda: annotate(stack.url, "a try", str(uuid4())).status_code == 202, seconds=5)
        assert annotate(stack.url, "one", order_id).status_code == 202
        time.sleep(1.5)
        assert notes(stack, order_id) == []
    until(lambda: notes(stack, order_id) == ["one"], seconds=5)
    until(lambda: annotate(stack.url, "two", order_id).status_code == 201, seconds=5)


@pytest.mark.long
def test_with_neither_database_nor_queue_a_note_is_refused(stack):
    order_id = str(uuid4())
    with no_redis(stack):
        assert annotate(stack.url, "straight", order_id).status_code == 201
        with no_database(stack_without_settling(stack)):
            assert is_refused(annotate(stack.url, "nowhere", order_id), "unavailable")
    assert notes(stack, order_id) == ["straight"]


def stack_without_settling(stack):
    """The same stack; nobody waits for it to be whole while its Redis is away."""

    class Unsettled:
        url, stop, start_postgres = stack.url, stack.stop, stack.start_postgres

        def settled(self):
            until(lambda: health(stack.url)["checks"]["database"]["status"] == "healthy")

    return Unsettled()


@pytest.mark.long
def test_what_is_no_note_is_set_aside_and_holds_nothing_up(stack):
    order_id = str(uuid4())
    with flagged(stack, "defer_notes"):
        until(lambda: annotate(stack.url, "before", order_id).status_code == 202, seconds=5)
        with stack.redis() as redis:
            redis.xadd(QUEUE, {"note": "torn"})
        assert annotate(stack.url, "behind", order_id).status_code == 202
    until(lambda: notes(stack, order_id)[-1:] == ["behind"], seconds=5)
    until(lambda: waiting(stack) == 0, seconds=5)
    with stack.redis() as redis:
        assert [fields for _, fields in redis.xrange("notes:unreadable")] == [{"note": "torn"}]
