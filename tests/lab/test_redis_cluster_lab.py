"""Three regions whose Redis is a cluster: backed up by shards, taken over by the other region's cluster."""

import json

import pytest
import yaml
from redis_hosts import as_cluster
from waiting import until

from infra.lab.home import DEFAULT_PLAN
from tasks.clients import flags, journal, redis_cluster, redis_site

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long]
EAST, WEST = "us-east-1", "us-west-2"


@pytest.fixture(scope="module")
def lab(labs, tmp_path_factory):
    file = tmp_path_factory.mktemp("plan") / "plan.yaml"
    file.write_text(yaml.safe_dump(as_cluster(yaml.safe_load(DEFAULT_PLAN.read_text()))))
    lab = labs.fresh("loopback", file)
    yield lab
    labs.end()


def switches(plan, incident):
    """What became of the flags at each moment of a recovery."""
    steps = [json.loads(text) for text in journal.read_all(plan, incident, "steps/")]
    return {each["name"].rpartition(" ")[2]: each["result"] for each in steps if "continuity" in each["name"]}


def test_the_other_region_takes_over_with_its_newest_point(lab):
    plan = lab.plan
    for site in (EAST, WEST):
        assert redis_site.require_serving(plan, site) == "Redis cluster of 3 shards"
    with redis_cluster.client(plan, EAST) as client:
        for number in range(200):
            client.set(f"flag:{number}", number)
    lab.dr("run", "backup-redis")
    lab.dr("run", "replicate-backups")
    refused = lab.attempt("run", "switch-over")
    assert refused.returncode != 0
    assert "Redis does not replicate" in refused.stdout + refused.stderr

    lab.dr("lab", "break", EAST)
    lab.dr("run", "fail-over", "--param", "reason=power loss", site=WEST, timeout=300)
    report = json.loads(lab.dr("report", "latest", "--json"))
    assert report["verdict"] == "met"
    switched = switches(plan, report["incident"])
    assert "load_shedding" in switched["promoted"]["flags"]["shed_low_priority"]
    assert "released" in switched["recovered"]["flags"]["shed_low_priority"]
    assert flags.read(plan, WEST)["shed_low_priority"].incident == report["incident"]
    assert redis_site.get(plan, WEST, "flag:199") == "199"
    with redis_cluster.client(plan, WEST) as client:
        assert all(client.exists(f"flag:{number}") for number in range(200))

    lab.dr("lab", "heal", EAST, timeout=300)
    lab.dr("run", "bring-back", site=WEST, timeout=300)
    assert until(lambda: redis_site.require_serving(plan, EAST), 60)
