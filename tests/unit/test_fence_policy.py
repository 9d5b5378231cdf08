"""What proves a fence, whose word stands where nothing does, and how the report says so."""

from datetime import UTC, datetime, timedelta

import pytest
import reports

from tasks.clients.nodes import NodeSeen
from tasks.clients.timelines import Lineage, branch_of, own_timelines, parse_histories
from tasks.clients.truth import Truth
from tasks.errors import Permanent, Refused
from tasks.facts.fence import Fence, FenceAttempt, FenceOverride
from tasks.facts.incident import Incident
from tasks.facts.loss import Divergence, Loss
from tasks.facts.report import Phases
from tasks.incidents import OnRecord, require_override
from tasks.policy.fence import fenced, read_override, seen_words, state_of, without_proof, writers
from tasks.policy.fence_words import override_page
from tasks.policy.words import report_markdown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COMMANDERS = ("ada-lindqvist", "grace-moreau")
REFUSES = NodeSeen("a", answers=True, standby=True, write="refused")
ATTEMPTS = (FenceAttempt(name="power-off", outcome="failed", detail="exit 7: no such\nregion", seconds=1.5),)
WORD = FenceOverride(
    commander="ada-lindqvist", statement="I, ada-lindqvist, know that north may still take writes", at=NOON
)


def node(**changed):
    return NodeSeen(**{"name": "b", "answers": True, "standby": True, "write": "refused"} | changed)


def report(**changed):
    loss = Loss(lost_transactions=1, lost_seconds=1, basis="bound")
    took = Phases(detect=0, decide=0, execute=1, verify=1, total=2)
    mine = {"reason": "a test", "rto_seconds": took, "rpo": loss, "bound": loss, "steps": ()}
    return reports.report(**mine | changed)


def test_every_node_that_says_standby_and_refuses_a_write_is_proof():
    assert state_of([REFUSES, node()]) == "proven"


@pytest.mark.parametrize(
    ("other", "state"),
    [
        (node(write="taken"), "changing"),
        (node(standby=False), "changing"),
        (node(write="unknown"), "changing"),
        (node(answers=False, standby=False), "unknown"),
        (node(answers=False, standby=False, write="unknown"), "unknown"),
        (node(answers=False, standby=False, write="taken"), "unknown"),
    ],
)
def test_one_node_that_is_not_proof_is_enough_for_none(other, state):
    assert state_of([REFUSES, other]) == state
    assert state_of([other, REFUSES]) == state


def test_no_node_at_all_is_no_proof():
    assert state_of([]) == "unknown"


def test_what_was_seen_is_told_of_each_node():
    silent = node(name="c", answers=False, standby=False, write="unknown")
    words = seen_words([REFUSES, node(write="taken"), silent])
    assert "a: a standby, refused a write" in words
    assert "b: takes writes" in words
    assert "c: its Patroni does not answer" in words
    assert writers([REFUSES, node(write="taken"), silent]) == ("b",)


def test_the_commander_of_an_override_is_the_one_it_names():
    assert read_override(WORD.statement, COMMANDERS, "north") == "ada-lindqvist"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("north may still take writes", "names no commander"),
        ("mallory knows that north may still take writes", "names no commander"),
        ("ada-lindqvist-2 knows about north", "names no commander"),
        ("ada-lindqvist and grace-moreau know about north", "several"),
        ("I, ada-lindqvist, know", "does not name north"),
        ("I, ada-lindqvist, know about north-2", "does not name north"),
        ("", "names no commander"),
    ],
)
def test_a_statement_without_one_commander_and_the_site_is_refused(statement, says):
    with pytest.raises(Refused, match=says):
        read_override(statement, COMMANDERS, "north")


def test_an_override_is_red_and_named_in_the_report_and_in_its_verdict():
    fence = without_proof(ATTEMPTS, WORD)
    assert not fence.proven
    page = report_markdown(report(fence=fence, verdict=fenced("met", fence)))
    assert "🔴 **NOT PROVEN that north took no writes: ada-lindqvist" in page
    assert 'overridden by **ada-lindqvist**: "I, ada-lindqvist, know' in page
    assert "holds only if north has stopped" in page
    assert "| power-off | failed | 1.5 s | exit 7: no such region |" in page
    assert "met, fence NOT PROVEN" in page


def test_a_proven_fence_has_no_red():
    fence = Fence(proven_at=NOON, proof="its leader key ran out in etcd, and the fence holds it")
    page = report_markdown(report(fence=fence, verdict=fenced("met", fence)))
    assert "proven: its leader key ran out" in page
    assert "🔴" not in page
    assert "NOT PROVEN" not in page
    assert "| verdict | met |" in page


def diverged(seconds, **changed):
    fields = {
        "node": "a",
        "commits": 3,
        "with_rows": 2,
        "unacknowledged": 0,
        "first_commit": NOON,
        "saved": (),
    }
    return Divergence(**fields | {"last_commit": NOON + timedelta(seconds=seconds)} | changed)


def test_writes_at_both_sites_are_told_as_a_split_brain():
    fence = without_proof(ATTEMPTS, WORD)
    page = report_markdown(report(fence=fence, divergence=diverged(5)))
    assert "SPLIT BRAIN: north still committed 5.0 s after south took writes" in page
    assert "SPLIT BRAIN" not in report_markdown(report(fence=fence, divergence=diverged(-5)))
    returned = report_markdown(report(fence=fence, second_primaries=("a",), divergence=diverged(-5)))
    assert "SPLIT BRAIN: a took writes when north came back" in returned


def test_the_question_to_the_commanders_says_what_was_tried_and_what_was_wrong():
    page = override_page("north", "south", ATTEMPTS, "the override does not name north")
    assert "Nothing proves that north takes no writes" in page
    assert "two sites take writes apart" in page
    assert "power-off" in page
    assert "**the override does not name north.**" in page


HISTORIES = """\
> 00000002.history
1\t0/5000000\tno recovery target specified

> 00000003.history
1\t0/5000000\tno recovery target specified
2\t0/6000000\tno recovery target specified
> 00000004.history
# left out by naas-dr: a primary elsewhere may have taken this number
"""


def test_histories_are_read_without_their_comments():
    assert parse_histories(HISTORIES) == {
        2: {1: "0/5000000"},
        3: {1: "0/5000000", 2: "0/6000000"},
        4: {},
    }
    assert parse_histories("") == {}


PRIMARY = Lineage(6, {1: "0/4000000"})


def test_a_node_that_promoted_itself_is_read_along_its_own_timelines():
    known = parse_histories(HISTORIES)
    assert branch_of(known, 1, "0/4000000", PRIMARY) == [(1, "0/4000000"), (2, "0/5000000"), (3, "0/6000000")]
    assert own_timelines(known, 1, PRIMARY) == [2, 3]


def test_a_node_that_promoted_itself_after_it_had_followed_is_read_from_there_on():
    known = {2: {}, 6: {1: "0/4000000"}, 7: {1: "0/4000000", 6: "0/8000000"}}
    assert branch_of(known, 1, "0/4000000", PRIMARY) == [(1, "0/4000000"), (7, "0/8000000")]
    assert own_timelines(known, 1, PRIMARY) == [7]


def test_a_node_that_stayed_or_follows_has_nothing_but_the_old_timeline():
    assert branch_of({}, 1, "0/4000000", PRIMARY) == [(1, "0/4000000")]
    left_out = {2: {}, 3: {}, 6: {1: "0/4000000"}}
    assert branch_of(left_out, 1, "0/4000000", PRIMARY) == [(1, "0/4000000")]


def test_what_was_before_the_fork_is_nobodys_own():
    known = {2: {1: "0/1000000"}, 3: {1: "0/1000000", 2: "0/5000000"}}
    primary = Lineage(7, {1: "0/1000000", 2: "0/4000000"})
    assert branch_of(known, 2, "0/4000000", primary) == [(2, "0/4000000"), (3, "0/5000000")]


def test_one_number_for_two_timelines_is_refused():
    with pytest.raises(Permanent, match="timeline 2 is the new primary's"):
        branch_of({2: {1: "0/5000000"}}, 1, "0/4000000", Lineage(2, {1: "0/4000000"}))


def record(case=True):
    told = {
        "id": "inc-1",
        "service": "naas-api",
        "failed_site": "north",
        "to_site": "south",
        "epoch": 1,
        "reason": "a test",
        "detected_at": NOON,
        "triggered_at": NOON,
    }
    return OnRecord(
        id="inc-1",
        truth=Truth(active="south", incident="inc-1", done=False),
        alarm=None,
        impact=None,
        decision=None,
        case=Incident(**told) if case else None,
        report=None,
    )


def test_a_resume_with_an_override_that_is_none_starts_nothing():
    require_override(record(), "fail_over", COMMANDERS, WORD.statement)
    with pytest.raises(Refused, match="names no commander"):
        require_override(record(), "fail_over", COMMANDERS, "go on, north")
    for case, flow in ((False, "respond"), (True, "switch_over")):
        with pytest.raises(Refused, match="no fence to override"):
            require_override(record(case=case), flow, COMMANDERS, WORD.statement)
