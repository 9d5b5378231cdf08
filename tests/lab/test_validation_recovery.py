"""A recovery is validated by all four suites before it is over, and the record lies in its journal."""

import json

import pytest
from validation_planting import validating

from tasks.clients import journal
from tasks.facts.validation import Validated
from tasks.policy.validation import SUITES

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def lab(labs):
    """A lab that is not left to others: its service has moved."""
    yield labs.fresh("loopback")
    labs.end()


def test_a_recovery_passes_all_four_suites_and_the_record_is_in_its_journal(lab):
    with validating(lab):
        old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
        lab.dr("run", "record-baseline")
        lab.dr("lab", "break", old)
        lab.dr("run", "fail-over", "--param", "reason=power loss", site=new)
        [incident] = journal.incidents(lab.plan)
        steps = [json.loads(text)["name"] for text in journal.read_all(lab.plan, incident, "steps/")]
        assert {"validate through the public endpoint", "validate the site's servers"} <= set(steps)
        lab.dr("run", "validate-recovery", site=new)
        [text] = journal.read_all(lab.plan, incident, "validation/")
        found = Validated.model_validate_json(text)
        assert (found.verdict, found.subject.site, found.subject.incident) == ("passed", new, incident)
        assert {each.suite for each in found.checks} == set(SUITES)
