"""A primary site whose Patroni cluster has an etcd of its own: fenced by proof, or by a commander's word."""

import json
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import yaml
from waiting import until

from deployments.trigger import Api, trigger, wait_for
from infra.lab.control import client_settings
from infra.lab.home import DEFAULT_PLAN
from infra.lab.processes import MARK, running
from infra.load.ledger import Ledger
from tasks.clients import journal, ledger, patroni, postgres, service
from tasks.clients.truth import read_truth
from tasks.errors import DrError

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(1200), pytest.mark.long]

STOPPED = Path(__file__).with_name("site_stopped.py")
PATIENCE_S = 90


@pytest.fixture(scope="module")
def lab(labs, tmp_path_factory):
    """A lab whose primary site has a DCS of its own; its last test leaves it split and mended."""
    plan = yaml.safe_load(DEFAULT_PLAN.read_text())
    home = next(site for site in plan["sites"].values() if site["role"] == "primary")
    stopped = f"{sys.executable} {STOPPED} {{site}}"
    home["dcs"] = "own"
    home["fence"] = {
        "commands": [
            {"name": "close-the-routes", "command": "true", "timeout": "5 seconds"},
            {"name": "all-stopped", "command": stopped, "proves": True, "timeout": "30 seconds"},
        ]
    }
    file = tmp_path_factory.mktemp("plan") / "plan.yaml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False))
    lab = labs.fresh("loopback", plan=file)
    lab.dr("deploy")
    yield lab
    labs.end()


@pytest.fixture
def old(lab):
    return lab.plan.site_of("primary")


@pytest.fixture
def new(lab):
    return lab.plan.site_of("dr")


@pytest.fixture
def api(lab):
    settings = client_settings(lab.home, lab.plan)
    return Api(settings["PREFECT_API_URL"], settings["PREFECT_API_AUTH_STRING"])


def report(lab):
    return json.loads(lab.dr("report", "latest", "--json"))


def page(lab):
    return " ".join(lab.dr("report", "latest").split())


def leader_writes(lab, site):
    with suppress(DrError):
        return postgres.writable(lab.plan, [patroni.leader(lab.plan, site).host])
    return []


def order_at(lab, site, item):
    """An order of a program beside a site's primary, which reaches no other site."""
    identity = str(uuid4())
    with postgres.connected(lab.plan, patroni.leader(lab.plan, site).host) as connection:
        connection.execute("insert into orders (id, item, quantity) values (%s, %s, 1)", (identity, item))
    return identity


def has_order(lab, site, identity):
    with postgres.connected(lab.plan, patroni.leader(lab.plan, site).host) as connection:
        return connection.execute("select 1 from orders where id = %s", (identity,)).fetchone() is not None


def saved_ids(lab, incident):
    lines = (journal.read(lab.plan, incident, "diverged/rows.jsonl") or "").splitlines()
    return {json.loads(line)["row"]["id"] for line in lines}


def states(lab, site):
    with suppress(DrError):
        return {member.name: member.state for member in patroni.members(lab.plan, site)}
    return {}


def assert_streams(lab, site):
    wanted = dict.fromkeys(lab.plan.sites[site].running("postgres"), "streaming")
    until(lambda: states(lab, site) == wanted, PATIENCE_S)


def assert_same_rows(lab, old, new):
    """Every node of the old site comes to have what the new primary has, to the row."""
    query = (
        "select count(*) as n, md5(coalesce(string_agg(id::text, ',' order by id), '')) as sum from orders"
    )

    def rows(address):
        with postgres.connected(lab.plan, address) as connection:
            return connection.execute(query).fetchone()

    wanted = rows(patroni.leader(lab.plan, new).host)
    for address in lab.plan.sites[old].addresses("postgres"):
        until(lambda address=address: rows(address) == wanted)


def home_again(lab, old, new):
    lab.dr("run", "fail-back", site=new, timeout=400)
    assert read_truth(lab.plan)[0].active == old
    assert leader_writes(lab, old)
    assert_streams(lab, new)


def test_its_patroni_knows_only_its_own_etcd(lab, old, new):
    assert patroni.leader_key(lab.plan, old) is None
    assert patroni.leader_key(lab.plan, new)
    assert leader_writes(lab, old)
    assert_streams(lab, new)


def test_a_site_that_lives_is_fenced_by_its_own_patroni_and_comes_home(lab, old, new):
    lab.dr("run", "fail-over", "--param", "reason=to be left", "--param", "force=true", site=new, timeout=400)
    told = report(lab)
    assert told["fence"]["proven"]
    assert [each["outcome"] for each in told["fence"]["attempts"]] == ["proved"]
    assert postgres.writable(lab.plan, lab.plan.sites[old].addresses("postgres")) == []
    assert leader_writes(lab, new)
    lab.dr("run", "bring-back", site=new, timeout=400)
    assert report(lab)["second_primaries"] == []
    assert_streams(lab, old)
    assert_same_rows(lab, old, new)
    home_again(lab, old, new)


def test_a_dead_site_is_proven_dead_by_a_command_and_returns_as_a_second_primary(lab, old, new):
    lab.dr("lab", "load", "--rate", "5")
    time.sleep(3)
    lab.dr("lab", "break", old)
    lab.dr("run", "fail-over", "--param", "reason=power loss", site=new, timeout=400)
    lab.dr("lab", "load", "--stop")
    told = report(lab)
    assert told["fence"]["proven"]
    assert [each["outcome"] for each in told["fence"]["attempts"]] == ["failed", "done", "proved"]
    assert f"0 programs of {old} run" in told["fence"]["proof"]
    with pulls_held(lab):
        lab.dr("lab", "heal", old)
        # Its own etcd knows nothing of all this.
        until(lambda: leader_writes(lab, old), PATIENCE_S)
    assert service.round_trip(lab.plan, lab.plan.service.endpoint.url) == new
    lost = order_at(lab, old, "of a program beside the second primary")
    lab.dr("run", "bring-back", site=new, timeout=400)
    done = report(lab)
    assert done["second_primaries"]
    assert done["rpo"]["basis"] == "exact"
    assert lost in saved_ids(lab, done["incident"])
    missing = ledger.missing(
        lab.plan, patroni.leader(lab.plan, new).host, set(Ledger.read(lab.home.ledger).acknowledged)
    )
    assert missing <= saved_ids(lab, done["incident"])
    assert done["ledger"]["missing"] == len(missing)
    assert "SPLIT BRAIN" in page(lab)
    assert_streams(lab, old)
    assert not has_order(lab, old, lost)
    assert_same_rows(lab, old, new)
    home_again(lab, old, new)


@contextmanager
def pulls_held(lab):
    """Meanwhile the old site's archive gets no copy of the new primary's timelines: it goes its own way."""
    [pull] = [process for key, process in running(lab.home.directory).items() if key.endswith("/loop-pull")]
    pull.suspend()
    try:
        yield
    finally:
        pull.resume()


@contextmanager
def frozen(lab, site):
    """A site's database hosts are silent: whether they are dead, nobody can tell from outside."""
    stopped = [process for process in psutil.process_iter() if _is_database(lab, site, process)]
    assert stopped
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _is_database(lab, site, process):
    hosts = tuple(lab.plan.sites[site].running("postgres"))
    marks = tuple(f"{lab.home.directory}:{site}/{host}/" for host in hosts)
    folders = tuple(f"{lab.home.root(site, host)}/" for host in hosts)
    try:
        return process.environ().get(MARK, "").startswith(marks) or f"{process.cwd()}/".startswith(folders)
    except (psutil.Error, OSError):
        return False


def test_a_silent_site_waits_for_a_commander_and_its_split_brain_is_told(lab, old, new, api):
    with pulls_held(lab):
        split_brain(lab, old, new, api)


def split_brain(lab, old, new, api):
    with frozen(lab, old):
        done = lab.attempt("run", "fail-over", "--param", "reason=silent", site=new, timeout=400)
        assert done.returncode == 1, done.stdout + done.stderr
        assert f"nothing proves that {old} takes no writes" in done.stderr
        assert "--override-fence" in done.stderr
        assert not leader_writes(lab, new)
        incident = read_truth(lab.plan)[0].incident
        wrong = lab.attempt("incident", "resume", incident, "--override-fence", "go on", "--here")
        assert wrong.returncode == 2
        assert "names no commander" in wrong.stderr
        answer_the_form(lab, api, incident, old)
        assert leader_writes(lab, new)
    told = report(lab)
    assert (told["fence"]["proven"], told["fence"]["overridden_by"]) == (False, "ada-lindqvist")
    assert told["verdict"].endswith("fence NOT PROVEN")
    assert "🔴 NOT PROVEN that us-east-1 took no writes: ada-lindqvist" in page(lab)
    # It was alive: now two sites take writes.
    until(lambda: leader_writes(lab, old), PATIENCE_S)
    lost = order_at(lab, old, "of the other half of a split brain")
    assert service.round_trip(lab.plan, lab.plan.service.endpoint.url) == new
    lab.dr("run", "bring-back", site=new, timeout=400)
    assert lost in saved_ids(lab, told["incident"])
    assert report(lab)["rpo"]["basis"] == "exact"
    assert "SPLIT BRAIN" in page(lab)
    assert_streams(lab, old)
    assert_same_rows(lab, old, new)


def answer_the_form(lab, api, incident, old):
    """A statement without the site is asked for again; with it, the run goes on."""
    run = trigger(api, "fail-over", {"incident": incident}, str(uuid4()))

    def paused():
        return api.call("GET", f"/flow_runs/{run}")["state"]["type"] == "PAUSED"

    def answer(statement):
        form = {"commander": "ada-lindqvist", "statement": statement}
        return api.call("POST", f"/flow_runs/{run}/resume", {"run_input": form})

    until(paused, 240)
    answer("go on")
    time.sleep(3)
    until(paused, PATIENCE_S)
    answer(f"I know that {old} may still take writes")
    assert wait_for(api, run, 240)["type"] == "COMPLETED"
