"""What the service does without its database, its Redis, or room for everybody; acting and releasing."""

import signal
import threading
from contextlib import contextmanager

import pytest
from service_client import (
    CLIENT,
    CRITICAL,
    annotate,
    flagged,
    is_refused,
    latest,
    no_database,
    no_redis,
    notes,
    place,
    read,
    set_flag,
)
from service_stack import health, running_stack
from waiting import until

from tasks.clients.flag_settings import KEY

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def stack():
    with running_stack() as stack:
        yield stack


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
