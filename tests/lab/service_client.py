"""What a client of the service does and sees in a test, and how its servers are taken away."""

import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from waiting import until

from tasks.clients.flag_settings import KEY, FlagSetting

PATIENCE = 2.0
QUEUE = "{notes}:queue"
CRITICAL = {"X-Request-Priority": "critical"}
# One for all, which is cheap, with a connection for each request, which outlives no service.
CLIENT = httpx.Client(
    timeout=PATIENCE, trust_env=False, limits=httpx.Limits(max_connections=50, max_keepalive_connections=0)
)


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
