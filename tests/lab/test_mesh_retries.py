"""The mesh's retries and timeouts in the real Envoy: what is tried again, how often, and for how long."""

import time
from contextlib import ExitStack
from uuid import uuid4

import pytest
from envoy_mesh import HANG_UP, HOLD, running_mesh

# No lab is needed.
pytestmark = pytest.mark.lab
ATTEMPTS = 3
# So that what is seen is the retries alone: whoever fails stays.
STAY = {"max_ejection": "1%"}
NOWHERE = "nowhere"


@pytest.fixture
def running(tmp_path):
    """Starts a mesh and its instances, none of which is ever taken out."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(running_mesh(tmp_path, outliers=STAY, **changes))


@pytest.mark.parametrize("failure", [503, pytest.param(HANG_UP, marks=pytest.mark.long)])
def test_a_try_that_fails_is_made_again_elsewhere_and_the_user_never_knows(running, failure):
    mesh, bad, good = running()
    bad.says = lambda _nth: failure
    answers = [mesh.get(f"/orders/{number}") for number in range(20)]
    assert {(each.status_code, each.text) for each in answers} == {(200, good.address)}
    assert len(good.asked) == 20
    assert len(bad.asked) == mesh.count("upstream_rq_retry") > 0
    # Five draws in a row may find no other one, seldom.
    assert len(bad.asked) - len({each.path for each in bad.asked}) <= 2


def test_an_instance_that_takes_no_connection_is_gone_round(running):
    mesh, instance = running(instances=1, absent=1)
    assert {mesh.get().text for _ in range(20)} == {instance.address}
    assert mesh.count("upstream_cx_connect_fail") > 0


CONDITIONS = {
    "5xx": {500, 502, 503, HANG_UP, NOWHERE},
    "gateway-error": {502, 503, HANG_UP, NOWHERE},
    "reset": {HANG_UP, NOWHERE},
    "connect-failure": {NOWHERE},
    # Of HTTP/1.1 no failure is a refused stream.
    "refused-stream": set(),
    "retriable-4xx": {409},
}
SHIPPED = ("5xx", "reset", "connect-failure", "refused-stream")
each_condition = pytest.mark.parametrize(
    "listed", [SHIPPED, *(pytest.param((each,), marks=pytest.mark.long) for each in CONDITIONS)], ids=str
)


def tries(listed, failure):
    """How often a failure is seen: once, and as many times more as the attempts where it is listed."""
    return 1 + ATTEMPTS * any(failure in CONDITIONS[each] for each in listed)


@each_condition
def test_only_what_is_listed_is_tried_again_and_no_more_than_its_attempts(running, listed):
    mesh, instance = running(instances=1, retries={"retry_on": list(listed), "attempts": ATTEMPTS})
    tried = {}
    for failure in (200, 404, 409, 429, 500, 502, 503, HANG_UP):
        instance.asked.clear()
        instance.says = lambda _nth, failure=failure: failure
        told = mesh.get().status_code
        assert told == (503 if failure == HANG_UP else failure), "the user gets the last answer"
        tried[failure] = len(instance.asked)
    assert tried == {failure: tries(listed, failure) for failure in tried}


@each_condition
def test_a_connection_that_fails_is_tried_again_where_that_is_listed(running, listed):
    retries = {"retry_on": list(listed), "attempts": ATTEMPTS}
    mesh, *_ = running(instances=0, absent=1, retries=retries)
    failed = mesh.count("upstream_cx_connect_fail")
    assert mesh.get().status_code == 503
    assert mesh.count("upstream_cx_connect_fail") - failed == tries(listed, NOWHERE)


def test_a_post_is_repeated_as_it_was(running):
    """Envoy asks for no method. An order may come twice: it is safe, because its id is the client's."""
    mesh, instance = running(instances=1)
    instance.says = lambda nth: HANG_UP if nth == 1 else 200
    order = {"id": str(uuid4()), "item": "paper", "quantity": 1}
    assert mesh.client.post("/orders", json=order).status_code == 201
    assert len({(each.method, each.path, each.body) for each in instance.asked}) == 1
    assert order["id"].encode() in instance.asked[0].body
    assert len(instance.asked) == 2
    assert instance.orders == {order["id"]: order}


@pytest.mark.long
def test_a_slow_try_ends_at_its_timeout_and_another_one_serves(running):
    mesh, slow, good = running(retries={"per_try_timeout": "1 second"})
    slow.says = lambda _nth: HOLD
    began = time.monotonic()
    while not slow.asked:
        assert mesh.get().text == good.address
    assert time.monotonic() - began > 1
    assert mesh.count("upstream_rq_per_try_timeout") == len(slow.asked)


@pytest.mark.parametrize(
    ("attempts", "whole", "asked", "took"),
    [pytest.param(1, "30 seconds", 2, 2, marks=pytest.mark.long), (3, "2 seconds", 2, 2)],
    ids=["all tries are slow", "the whole time is over"],
)
def test_a_slow_answer_ends_as_504(running, attempts, whole, asked, took):
    mesh, instance = running(
        instances=1, retries={"per_try_timeout": "1 second", "attempts": attempts, "timeout": whole}
    )
    instance.says = lambda _nth: HOLD
    began = time.monotonic()
    assert mesh.get().status_code == 504
    assert took - 0.1 < time.monotonic() - began < 15
    assert len(instance.asked) == asked
    instance.says = lambda _nth: 200
    assert mesh.get().status_code == 200
