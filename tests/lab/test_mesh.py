"""The mesh's circuit breaker in the real Envoy: it takes bad instances out and back, and holds its limits."""

import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from envoy_mesh import EAST, HOLD, running_gateway, running_mesh
from waiting import until

# No lab is needed.
pytestmark = pytest.mark.lab
# Nothing here hangs up on Envoy, so a user gets what the first instance said.
NO_RETRIES = {"retry_on": ["refused-stream"]}
QUICK = {"interval": "1 second", "base_ejection_time": "3 seconds"}


@pytest.fixture
def running(tmp_path):
    """Starts a mesh and its instances."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(running_mesh(tmp_path, **changes))


def failing(_nth):
    return 500


def healthy(_nth):
    return 200


def take_out(mesh, wanted):
    """Ask until so many are out, and Envoy's worker knows it, which is told once a second."""
    until(lambda: mesh.get().status_code and len(mesh.ejected()) == wanted, pause=0)
    time.sleep(1.1 if wanted else 0)
    return mesh.ejected()


def test_three_errors_in_a_row_take_an_instance_out_and_its_time_brings_it_back(running):
    mesh, bad, good = running(outliers=QUICK, retries=NO_RETRIES)
    bad.says = failing
    began = time.monotonic()
    assert take_out(mesh, 1) == {bad.address}
    assert len(bad.asked) == 3
    bad.says = healthy
    assert {mesh.get().text for _ in range(50)} == {good.address}
    good.says = failing
    assert [mesh.get().status_code for _ in range(10)] == [500] * 10
    assert mesh.ejected() == {bad.address}, "half of them at most, though all fail"
    good.says = healthy
    until(lambda: mesh.get().text == bad.address, pause=0.02)
    assert time.monotonic() - began > 3
    assert mesh.ejected() == set()
    assert {mesh.get().text for _ in range(50)} == {bad.address, good.address}


def test_two_errors_in_a_row_take_nobody_out(running):
    mesh, bad, _good = running(outliers=QUICK, retries=NO_RETRIES)
    bad.says = lambda nth: 200 if nth % 3 == 0 else 500
    for _ in range(100):
        mesh.get()
    assert len(bad.asked) > 20
    assert mesh.count("outlier_detection.ejections_enforced_total") == 0


@pytest.mark.parametrize(
    ("instances", "share", "out"),
    [
        pytest.param(4, "50%", 2, marks=pytest.mark.long),
        pytest.param(3, "50%", 1, marks=pytest.mark.long),
        pytest.param(1, "50%", 0, marks=pytest.mark.long),
        (2, "49%", 0),
    ],
)
def test_no_more_than_their_share_are_taken_out_though_all_fail(running, instances, share, out):
    """Where one instance is more than the share nobody is taken out: a lone one stays, whatever it says."""
    mesh, *there = running(instances=instances, outliers=QUICK | {"max_ejection": share}, retries=NO_RETRIES)
    for each in there:
        each.says = failing
    gone = take_out(mesh, out)
    staying = [each for each in there if each.address not in gone]
    before = sum(len(each.asked) for each in staying)
    assert {mesh.get().status_code for _ in range(40)} == {500}
    assert sum(len(each.asked) for each in staying) == before + 40, "no panic: who is out is not asked"
    assert mesh.ejected() == gone
    assert mesh.count("outlier_detection.ejections_overflow") > 0
    for each in there:
        each.says = healthy
    until(lambda: not mesh.ejected())
    until(lambda: {mesh.get().text for _ in range(60)} == {each.address for each in there})


@pytest.mark.long
def test_where_all_may_be_taken_out_users_are_refused_until_one_is_back(running):
    mesh, *both = running(outliers=QUICK | {"max_ejection": "100%"}, retries=NO_RETRIES)
    for each in both:
        each.says = failing
    assert len(take_out(mesh, 2)) == 2
    answer = mesh.get()
    assert (answer.status_code, answer.text) == (503, "no healthy upstream")
    asked = [len(each.asked) for each in both]
    assert [mesh.get().status_code for _ in range(20)] == [503] * 20
    assert [len(each.asked) for each in both] == asked
    for each in both:
        each.says = healthy
    until(lambda: mesh.get().status_code == 200)


@contextmanager
def asking(mesh, times):
    """So many requests under way at once; yields their answers, all there once it ends."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(mesh.get().status_code)) for _ in range(times)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        until(lambda wanted=number: mesh.count("upstream_rq_active") + waiting(mesh) == wanted, pause=0.02)
    yield answers
    for thread in threads:
        thread.join(30)


def waiting(mesh):
    return mesh.count("upstream_rq_pending_active")


def test_more_than_connections_and_queue_hold_is_refused_at_once_and_taken_again_later(running):
    mesh, instance = running(instances=1, pool={"max_connections": 2, "http1_max_pending_requests": 1})
    instance.says = lambda _nth: HOLD
    with asking(mesh, 3) as answers:
        assert (mesh.count("upstream_cx_active"), waiting(mesh)) == (2, 1)
        assert mesh.count("circuit_breakers.default.remaining_pending") == 0
        began = time.monotonic()
        refused = mesh.get()
        assert time.monotonic() - began < 10, "it waited for nothing"
        assert (refused.status_code, refused.headers["x-envoy-overloaded"]) == (503, "true")
        assert "overflow" in refused.text
        assert answers == []
        assert len(instance.asked) == 2, "the third waits, the fourth never came, nor was it tried again"
        instance.release.set()
    assert answers == [200, 200, 200]
    assert mesh.count("upstream_rq_pending_overflow") == 1
    assert mesh.get().status_code == 200


def test_a_connection_ends_after_its_requests(running):
    mesh, instance = running(instances=1)
    for _ in range(35):
        assert mesh.get().status_code == 200
    used = {}
    for each in instance.asked:
        used[each.caller] = used.get(each.caller, 0) + 1
    assert max(used.values()) == mesh.plan.mesh.circuit_breaker.connection_pool.max_requests_per_connection
    assert len(used) in {4, 5}, "the first one began while Envoy started"


@pytest.mark.parametrize("sticky", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_user_stays_at_one_instance_where_the_plan_says_so(running, tmp_path, sticky):
    balancing = {"algorithm": "random", "sticky_sessions": sticky}
    mesh, *_ = running(retries=NO_RETRIES, balancing=balancing)
    with running_gateway(mesh.plan, EAST, "gateway-east", tmp_path) as gateway:
        for url in (mesh.url, gateway):
            with httpx.Client(base_url=url, trust_env=False) as user:
                assert len({user.get("/orders").text for _ in range(30)}) == (1 if sticky else 2), url
                # Without a cookie and on another connection it is another user.
                user.headers["Connection"] = "close"
                served = {user.get("/orders").text for _ in range(30) if user.cookies.clear() is None}
                assert len(served) == 2, url
