"""What Patroni asks whether a starting server is ready: it asks on for a second, of a dead one for less."""

import subprocess
import time
from pathlib import Path

import pytest
import yaml

from infra.render import host_files
from infra.tree import write_all
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments/plan.yaml")
SITE = PLAN.site_of("primary")
HOST = next(iter(PLAN.sites[SITE].running("postgres")))
# It answers with the given code so often, and then with the other one; each question is written down.
ANSWERING = """#!/bin/sh
echo "$@" >>{folder}/asked
[ "$(wc -l <{folder}/asked)" -le {times} ] && exit {first}
exit {then}
"""


@pytest.fixture
def asked(tmp_path):
    """Runs the rendered program over a pg_isready of the test's: its exit code, seconds and questions."""

    def ask(first, times, then):
        (tmp_path / "pg_isready").write_text(
            ANSWERING.format(folder=tmp_path, first=first, times=times, then=then)
        )
        (tmp_path / "pg_isready").chmod(0o755)
        access = PLAN.access.model_copy(update={"postgres_bin": str(tmp_path)})
        plan = PLAN.model_copy(update={"access": access})
        files = host_files(plan, SITE, HOST, active=SITE, secrets=False)
        program = tmp_path / "rendered"
        program.write_text(files["etc/patroni/pg_isready"].text)
        began = time.monotonic()
        done = subprocess.run(["sh", program, "-p", "5432", "-d", "a b"], timeout=20, check=False)
        return done.returncode, time.monotonic() - began, (tmp_path / "asked").read_text().splitlines()

    return ask


@pytest.mark.parametrize("refusal", [1, 2])
def test_a_server_that_becomes_ready_is_told_at_once(asked, refusal):
    code, _, questions = asked(refusal, 3, 0)
    assert code == 0
    assert questions == ["-p 5432 -d a b"] * 4


def test_one_that_starts_for_long_is_told_after_a_second(asked):
    code, took, questions = asked(1, 1000, 0)
    assert (code, len(questions)) == (1, 21)
    assert took >= 1


def test_a_dead_one_is_told_sooner(asked):
    code, _, questions = asked(2, 1000, 0)
    assert (code, len(questions)) == (2, 5)


def test_a_mistaken_question_is_not_repeated(asked):
    code, _, questions = asked(3, 1000, 0)
    assert (code, len(questions)) == (3, 1)


def test_patroni_is_told_of_it_and_may_run_it(tmp_path):
    files = host_files(PLAN, SITE, HOST, active=SITE, secrets=False)
    named = yaml.safe_load(files["etc/patroni/10-patroni.yml"].text)["postgresql"]["bin_name"]
    assert named["pg_isready"].endswith("/etc/patroni/pg_isready")
    write_all(PLAN, tmp_path, secrets=False)
    written = tmp_path / "hosts" / SITE / HOST / "etc/patroni"
    assert (written / "pg_isready").stat().st_mode & 0o111
    assert not (written / "10-patroni.yml").stat().st_mode & 0o111
