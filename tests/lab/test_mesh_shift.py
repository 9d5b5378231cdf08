"""A planned move in steps through the mesh: the driver's weights, as istiod hands them on, in the real Envoy.

The Kubernetes API keeps the VirtualService that the plan renders; the new site is watched through its own
gateway, the real HAProxy; users ask all the while.
"""

import threading
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from envoy_mesh import EAST, WEST, Instance, Mesh, free_address, mesh_plan, running_gateway
from istio_schemas import misfits
from kubernetes_api import KubernetesApi, serving
from seaweed import Authority
from waiting import until

from infra.platform.surroundings import virtual_service
from tasks import redirect
from tasks.clients import service, traffic
from tasks.errors import Permanent
from tasks.facts.incident import Incident
from tasks.plan.traffic import Shift

# No lab is needed.
pytestmark = pytest.mark.lab
HERE, NAMESPACE, TOKEN = "127.0.0.1", "production", "planted.kubernetes.token"
PATH = f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices/naas-api-retry-policy"
# Who see a step before it may pass.
USERS = 300
INCIDENT = Incident(
    id="inc", service="naas-api", failed_site=EAST, to_site=WEST, epoch=1, reason="test",
    detected_at=datetime(2026, 1, 1, tzinfo=UTC), triggered_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
# The step's own act, without the record that it leaves in the stores.
redirect_traffic = redirect.redirect_traffic.fn.__wrapped__


class Step:
    """What users saw while the new site had this share of them, in percent."""

    def __init__(self, share):
        self.share, self.served, self.failed = share, Counter(), 0

    @property
    def asked(self):
        return self.served.total() + self.failed

    @property
    def measured(self):
        return 100 * self.served[WEST] / self.asked

    @property
    def noise(self):
        """Four deviations of so many draws, in percent."""
        return 4 * (self.share * (100 - self.share) / self.asked) ** 0.5


class World:
    """Both sites behind Envoy, and users that never rest."""

    def __init__(self, folder, stack):
        self.sites = {
            site: [Instance(free_address(), stack, site, orders) for _ in range(2)]
            for site, orders in ((EAST, {}), (WEST, {}))
        }
        self.plan = self._plan(folder, stack)
        self.mesh = Mesh(self.plan, folder, stack)
        stack.enter_context(running_gateway(self.plan, WEST, "gateway-west", folder))
        self.steps, self.step = [], None
        self._follow()
        users = threading.Thread(target=self._ask)
        self.asking = True
        users.start()
        stack.callback(users.join)
        stack.callback(setattr, self, "asking", False)

    def _plan(self, folder, stack):
        Authority(folder).issue(HERE, folder)
        (folder / "token").write_text(TOKEN)
        self.api = KubernetesApi(PATH, {"metadata": {}}, TOKEN)
        istio = {
            "api": f"https://{HERE}:{stack.enter_context(serving(self.api, HERE, folder))}",
            "namespace": NAMESPACE, "subsets": {EAST: {"site": "east"}, WEST: {"site": "west"}},
            "token": "file:token", "ca_certificate": "file:ca.crt",
        }  # fmt: skip
        listed = {site: [each.address for each in there] for site, there in self.sites.items()}
        return mesh_plan(folder, listed, istio=istio)

    def _follow(self):
        """As istiod does: what is true of the VirtualService becomes true of Envoy."""
        change = self.api.change

        def changed(patch):
            change(patch)
            assert misfits(self.api.object) == []
            routes = self.api.object["spec"]["http"][0]["route"]
            weights = {each["destination"]["subset"]: each["weight"] for each in routes}
            # Who asks in between belongs to no step.
            self.step = None
            self.mesh.weigh(weights)
            time.sleep(0.1)
            self.step = Step(weights[WEST])
            self.steps.append(self.step)

        self.api.change = changed
        changed(virtual_service(self.plan))

    def _ask(self):
        site_of = {each.address: site for site, there in self.sites.items() for each in there}
        while self.asking:
            step, answer = self.step, self.mesh.get()
            if step is None or step is not self.step:
                continue
            if answer.status_code == 200:
                step.served[site_of[answer.text]] += 1
            else:
                step.failed += 1

    def move(self, probe=None):
        """Move the users to the new site in steps."""
        steps = Shift(pause=timedelta(seconds=1), error_limit=Decimal("0.01"))
        return redirect_traffic(self.plan, INCIDENT, planned=True, shift=steps, probe=probe)

    def patient(self):
        """A try that is made once enough users saw the step, however busy the machine is."""
        until(lambda: self.step.asked >= USERS, pause=0.05)
        return service.round_trip(self.plan, self.plan.sites[WEST].gateway) == WEST

    def shares(self):
        return [step.share for step in self.steps]


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(redirect, "_TRY_S", 0.2)
    monkeypatch.setattr(redirect, "require_epoch", lambda *_: None)  # there is no etcd here
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def test_a_good_site_gets_its_share_at_each_step_and_nobody_notices(world):
    moved = world.move(world.patient)
    assert world.shares() == [0, 1, 10, 50, 100]
    for step in world.steps[1:]:
        assert step.asked >= USERS
        assert step.measured == pytest.approx(step.share, abs=step.noise)
        assert step.failed == 0
    assert (moved.served_by, moved.weights) == (WEST, {EAST: 0, WEST: 100})


def fail_from(world, share):
    """The new site answers errors once it has this share, though its health check goes on being well."""
    for each in world.sites[WEST]:
        each.says = lambda _nth: 500 if world.steps[-1].share >= share else 200


def stays_home(world):
    """Users are at home again, and none of them sees an error any more."""
    home = world.steps[-1]
    until(lambda: home.asked >= 50)
    assert traffic.weights(world.plan) == {EAST: 100, WEST: 0}
    assert (home.served.keys(), home.failed) == ({EAST}, 0)


def test_a_site_that_answers_errors_is_left_at_the_first_step(world):
    for each in world.sites[WEST]:
        each.says = lambda _nth: 500
    with pytest.raises(Permanent, match=f"{WEST} does not hold 1% of the users"):
        world.move()
    assert world.shares() == [0, 1, 0]
    stays_home(world)
    assert sum(step.served[WEST] for step in world.steps) == 0


@pytest.mark.long
@pytest.mark.parametrize("share", [10, 50, 100])
def test_a_site_that_breaks_under_its_share_is_left_at_the_step_that_shows_it(world, share):
    fail_from(world, share)
    with pytest.raises(Permanent, match=f"{WEST} does not hold {share}% of the users"):
        world.move()
    rising = [each for each in (0, 1, 10, 50, 100) if each <= share]
    # What held before it broke holds again.
    assert world.shares() == [*rising, rising[-2]]
    until(lambda: world.steps[-1].asked >= 50)
    assert all(step.failed == 0 for step in world.steps if step.share < share), "the last one too"


@pytest.mark.long
def test_users_go_all_the_way_home_from_a_site_that_stays_broken(world):
    broken = threading.Event()

    def says(_nth):
        if world.steps[-1].share >= 50:
            broken.set()
        return 500 if broken.is_set() else 200

    for each in world.sites[WEST]:
        each.says = says
    with pytest.raises(Permanent, match=f"{WEST} does not hold 50% of the users"):
        world.move()
    assert world.shares() == [0, 1, 10, 50, 10, 1, 0]
    stays_home(world)
