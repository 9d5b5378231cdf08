"""Notes that the database does not take wait in Redis, and are written later: each once, in order."""

import signal
import time
from uuid import uuid4

import pytest
from service_client import (
    CLIENT,
    QUEUE,
    annotate,
    flagged,
    is_refused,
    no_database,
    no_redis,
    notes,
    waiting,
)
from service_stack import health, running_stack
from waiting import until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def stack():
    with running_stack() as stack:
        yield stack


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
        assert [fields for _, fields in redis.xrange("{notes}:unreadable")] == [{"note": "torn"}]
