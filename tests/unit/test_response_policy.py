"""From an alarm to a decision: what each way costs, who may declare, and the page that is shown."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.facts.recovery import Observation
from tasks.facts.response import Alarm, Component, Decision, Impact, Strategy, Vote
from tasks.plan.availability import SlaTier
from tasks.plan.procedures import Declaration
from tasks.policy.response import hot_loss, recommend, tally, without_people
from tasks.policy.response_words import decision_record, impact_page, so_far

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIER = SlaTier.model_validate(
    {"rto": "1 hour", "rpo": "15 minutes", "availability": "99.95%", "support": "24/7"}
)
HOT = Strategy(kind="hot standby", site="south", lost_seconds=2.0, lost_transactions=40)
COLD = Strategy(kind="cold standby", site="south", source="vault", lost_seconds=61.0)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def alarm(source="manual_trigger"):
    return Alarm(
        incident="inc-1",
        site="north",
        reason="the power is out",
        source=source,
        evidence="three probes",
        detected_at=NOON,
        raised_at=NOON,
    )


def vote(commander, decision="declare"):
    return Vote(commander=commander, decision=decision, comment="", at=NOON)


def seen(next_xid):
    return Observation(
        site="north", at=at(10), lsn="0/1", next_xid=next_xid, last_commit=at(9), peak_rate=1.0
    )


def test_a_standby_that_has_all_loses_nothing_however_old_its_last_commit_is():
    assert hot_loss(seen(1000), 1000, at(-3600)) == (0, 0.0)


def test_a_standby_that_is_behind_loses_what_it_lacks():
    assert hot_loss(seen(1040), 1000, at(8)) == (40, 2.0)


def test_the_hot_standby_is_taken_where_it_meets_the_tier():
    assert recommend([HOT, COLD], TIER)[0] == HOT
    slower = HOT.model_copy(update={"lost_seconds": 899.0})
    assert recommend([slower, COLD], TIER)[0] == slower


def test_what_loses_least_is_taken_where_the_hot_standby_does_not():
    far = HOT.model_copy(update={"lost_seconds": 901.0})
    assert recommend([far, COLD], TIER)[0] == COLD
    assert recommend([HOT.model_copy(update={"lost_seconds": None}), COLD], TIER)[0] == COLD


def test_a_way_that_is_closed_is_never_taken():
    closed = HOT.model_copy(update={"against": "no node answers"})
    assert recommend([closed, COLD], TIER)[0] == COLD
    assert recommend([closed], TIER)[0] is None


@pytest.mark.parametrize(
    ("votes", "needed", "outcome"),
    [
        ([], 1, None),
        ([vote("ada")], 1, "declared"),
        ([vote("ada")], 2, None),
        ([vote("ada"), vote("ada")], 2, None),
        ([vote("ada"), vote("grace")], 2, "declared"),
        ([vote("ada"), vote("grace", "refuse")], 2, "refused"),
        ([vote("grace", "refuse")], 1, "refused"),
    ],
)
def test_commanders_count_once_each_and_one_refusal_ends_it(votes, needed, outcome):
    decision = tally(votes, needed, NOON)
    assert (decision.outcome if decision else None) == outcome


def test_only_the_watch_declares_without_people_and_only_where_the_plan_says_so():
    assert without_people(alarm("automated_monitoring"), automatic=True, now=NOON).recovers
    assert without_people(alarm("automated_monitoring"), automatic=False, now=NOON) is None
    assert without_people(alarm("external_notification"), automatic=True, now=NOON) is None
    assert without_people(alarm("manual_trigger"), automatic=True, now=NOON) is None


PEOPLE = Declaration.model_validate(
    {"commanders": ["ada", "grace", "linus"], "approvals": {"enterprise": 2}, "deadline": "15 minutes"}
)
IMPACT = Impact(
    alarm=alarm(),
    at=NOON,
    active="north",
    components=(Component(name="PostgreSQL", state="no answer", detail="refused"),),
    users_served=False,
    strategies=(HOT, COLD),
    recommended=HOT,
    why="it loses 2 s",
)


def test_the_page_asks_the_question_and_gives_the_answer_with_its_price():
    page = impact_page(IMPACT, "naas-api", "enterprise", PEOPLE)
    for words in ("Is north lost?", "the power is out", "not served", "hot standby south",
                  "2.0 s, 40 transactions", "south from the backups of vault", "no answer"):  # fmt: skip
        assert words in page


def test_the_page_tells_in_which_order_services_come_back():
    order = (("ledger",), ("billing", "mail"), ("portal",))
    page = impact_page(IMPACT, "ledger", "premium", PEOPLE, order=order)
    assert "come back in this order: ledger, then billing with mail, then portal." in page
    assert "in this order" not in impact_page(IMPACT, "ledger", "premium", PEOPLE, order=(("ledger",),))


@pytest.mark.parametrize(("tier", "who"), [("premium", "One commander"), ("enterprise", "2 commanders")])
def test_the_page_names_who_must_declare_and_by_when(tier, who):
    page = impact_page(IMPACT, "naas-api", tier, PEOPLE)
    assert f"{who} must declare by 2026-01-01 12:15:00 UTC (ada, grace or linus)" in page
    assert "Decided" not in page


def test_what_is_decided_already_is_asked_of_nobody():
    decision = Decision(outcome="automatic", why="every vantage agrees", votes=(), at=NOON)
    page = impact_page(IMPACT, "naas-api", "premium", PEOPLE, decision)
    assert "Decided: declared without people: every vantage agrees, at 2026-01-01 12:00:00 UTC." in page
    assert "must declare" not in page


def test_a_decision_tells_who_said_what():
    votes = (vote("ada"), vote("grace").model_copy(update={"comment": "seen from the road"}))
    told = decision_record(Decision(outcome="declared", why="declared by ada, grace", votes=votes, at=NOON))
    assert told == "declared by ada, grace, at 2026-01-01 12:00:00 UTC (grace: seen from the road)"


def test_the_next_commander_sees_who_has_declared():
    assert so_far([]) == ""
    assert "Declared so far: ada." in so_far([vote("ada"), vote("ada")])
