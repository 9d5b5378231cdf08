"""Thousands of subscribers and a provider that asks for time, fails and hangs up: each is told once."""

import json
import os
import ssl
import subprocess
import sys
from collections import Counter

import pytest
import yaml
from test_crisis import begun

from infra.edge.addresses import our_public_channels
from infra.edge.edge import serving
from infra.edge.faults import Faults
from infra.lab.control import client_settings
from infra.lab.secrets import EDGE, certificate_paths
from tasks.crisis_record import read_crisis

pytestmark = pytest.mark.lab

ADDRESS = "127.0.0.10"
SES = {"sender": "status@naas.example", "ses": {"region": "us-west-2", "credentials": "file:secrets/amazon"}}
RATES = {"email": {"busy": 0.004, "broken": 0.05, "gone": 0.02}}
MEASURED = """
import resource, sys
from deployments.run import entrypoint_of, run
run(entrypoint_of("inform"), {"incident": sys.argv[1]})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
# A provider that takes nothing for a moment is left to the next run.
MOST_RUNS = 6


@pytest.fixture
def lab(shared_lab):
    return shared_lab()


@pytest.fixture
def crowd(lab):
    """A plan of the lab's in which mail to so many customers leads to this port; gone again afterwards."""
    made = []

    def plan_for(count, port):
        document = yaml.safe_load(lab.home.plan_file.read_text())
        crisis = document["crisis_communication"]
        crisis["channels"] = our_public_channels({"email": SES}, ADDRESS, (port, 9))
        crisis["audiences"] = {"customers": {"channels": ["email"], "subscribers": "file:crowd.csv"}}
        people = "".join(f"email,customer{number}@example.org,,\n" for number in range(count))
        files = {
            "crowd.csv": f"channel,address,language,timezone\n{people}",
            "crowd.yaml": yaml.safe_dump(document),
        }
        for name, text in files.items():
            made.append(lab.home.directory / name)
            made[-1].write_text(text)
        return lab.home.directory / "crowd.yaml"

    yield plan_for
    for path in made:
        path.unlink(missing_ok=True)


def tell_all(lab, tmp_path, crowd, count):
    """Run the flow until all are told; who was told how often, and the most memory of a run, in KiB."""
    tls, box = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / f"box-{count}.jsonl"
    tls.load_cert_chain(*certificate_paths(lab.home.directory, EDGE))
    case, most = begun(lab), 0
    with serving(ADDRESS, (0, 0), tls, box, Faults(RATES, seed=count)) as (port, _):
        plan = crowd(count, port)
        for _ in range(MOST_RUNS):
            most = max(most, run_inform(lab, plan, case))
            [told] = read_crisis(lab.plan, case.id).tellings
            if told.settled:
                break
    assert told.outcome == "sent", told
    assert told.people == count
    return Counter(str(json.loads(line)["to"]) for line in box.read_text().splitlines()), most


def run_inform(lab, plan, case):
    environment = os.environ | client_settings(lab.home, lab.plan) | {"DR_PLAN": str(plan)}
    argv = [sys.executable, "-c", MEASURED, case.id]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


def assert_each_once(counts, count):
    assert counts == Counter(f"['customer{number}@example.org']" for number in range(count))


@pytest.mark.long
def test_a_hundred_are_told_once_by_a_provider_that_fails_now_and_then(lab, tmp_path, crowd):
    counts, _ = tell_all(lab, tmp_path, crowd, 100)
    assert_each_once(counts, 100)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_are_told_once_in_the_memory_of_a_thousand(lab, tmp_path, crowd):
    few, little = tell_all(lab, tmp_path, crowd, 1_000)
    many, memory = tell_all(lab, tmp_path, crowd, 10_000)
    assert_each_once(few, 1_000)
    assert_each_once(many, 10_000)
    assert memory < 1.2 * little, (little, memory)
