"""One look, several looks, several vantages: each case of the verdict, and of what is declared."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from watch_world import ARCHIVE, DR, HOSTS, PLAN, PRIMARY, RULE

from tasks.facts.watch import (
    Agreement,
    HostSeen,
    Look,
    Moment,
    Peer,
    Peers,
    Probe,
    Record,
    Sights,
    Standing,
    Suspicion,
    Told,
)
from tasks.policy.watch import (
    DATABASE,
    ETCD,
    GATEWAY,
    LAG,
    PUBLIC,
    REDIS,
    STORAGE,
    dead_zones,
    next_look,
    saw,
    sight,
    stand,
    verdict_on,
    well,
)
from tasks.policy.watch_agreement import agree, heard, is_dead, is_due, is_over, suspect
from tasks.policy.watch_words import findings, news, record_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CHECKS = (GATEWAY, PUBLIC, DATABASE, REDIS, LAG, ETCD, STORAGE)
ENDED, RENEWED = (Told(active=PRIMARY, lease=lease) for lease in ("ended", "renewed"))


def look(at_s=0.0, *, silent=(), outcomes=None, site=PRIMARY, vantage=DR):
    """A look at which all answers, but those hosts, zones and sites that are silent."""
    hosts = tuple(
        HostSeen(where, host, zone, {where, host, zone}.isdisjoint(silent)) for where, host, zone in HOSTS
    )
    default = "silent" if PRIMARY in silent else "good"
    checks = tuple(Probe(what, (outcomes or {}).get(what, default)) for what in CHECKS)
    return Look(vantage, site, at_s, NOW + timedelta(seconds=at_s), hosts, checks)


HEALTHY, LOST = look(), look(silent={PRIMARY}, outcomes={PUBLIC: "bad"})
BLIND = look(silent={PRIMARY, ARCHIVE})
ZONE = look(silent={"us-east-1c"})
DEGRADED = look(silent={"app-east-1"})
SERVED = look(silent={PRIMARY}, outcomes={PUBLIC: "good"})


def after(*looks, pace=5.0):
    """What is remembered after these looks, `pace` seconds apart, the last one at 0."""
    sights = Sights()
    for number, each in enumerate(looks):
        sights = saw(sights, replace(each, at_s=(number - len(looks) + 1) * pace), RULE)
    return sights


def peers(*records, since_s=0.0, renewed=True):
    return Peers(0.0, {each.vantage: Peer(each, 1, since_s, renewed) for each in records})


def record(vantage=ARCHIVE, verdict="site_failure", level="lost", site=PRIMARY, since=NOW):
    told = {"x": "silent"}
    return Record(
        vantage=vantage, site=site, at=NOW, level=level, verdict=verdict, since=since, evidence=told
    )


NOBODY = Peers()


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (HEALTHY, "healthy"),
        (look(outcomes={GATEWAY: "bad"}), "degraded"),
        (look(outcomes={REDIS: "silent"}), "degraded"),
        (look(outcomes={ETCD: "silent"}), "degraded"),
        (DEGRADED, "degraded"),
        (ZONE, "zone_failure"),
        (look(silent={"us-east-1b", "us-east-1c"}), "zone_failure"),
        (LOST, "lost"),
        (look(silent={PRIMARY}), "lost"),
        (SERVED, "served"),
        (BLIND, "blind"),
        (look(silent={ARCHIVE}), "healthy"),
    ],
)
def test_one_look(seen, level):
    assert sight(seen).level == level


@pytest.mark.parametrize(
    ("seen", "ill"),
    [
        (HEALTHY, set()),
        (DEGRADED, set()),
        (look(silent={ARCHIVE}), {ARCHIVE}),
        (look(silent={"storage-archive"}), {ARCHIVE}),
        (look(silent={"gateway-west"}), {DR}),
        (look(silent={"postgres-dr-1"}), set()),
        (look(silent={"postgres-dr-1", "postgres-dr-2"}), {DR}),
        (look(outcomes={GATEWAY: "bad"}), {PRIMARY}),
        (look(outcomes={DATABASE: "silent"}), {PRIMARY}),
        (look(outcomes={PUBLIC: "bad"}), set()),
        (LOST, {PRIMARY}),
    ],
)
def test_a_site_is_well_where_each_program_answers_and_the_active_one_serves(seen, ill):
    assert {site for site, it in well(PLAN, seen).items() if not it} == ill


def test_who_sees_nothing_tells_of_its_own_site_only():
    assert well(PLAN, BLIND) == {DR: True}


def test_a_zone_is_dead_only_beside_a_living_one():
    assert dead_zones(ZONE) == ["us-east-1c"]
    assert dead_zones(DEGRADED) == []
    assert dead_zones(LOST) == []


@pytest.mark.parametrize(
    ("looks", "told", "others", "verdict"),
    [
        ([HEALTHY], ENDED, NOBODY, "healthy"),
        ([], ENDED, NOBODY, "unknown"),
        ([HEALTHY, LOST, LOST], ENDED, NOBODY, "healthy"),
        ([LOST], ENDED, NOBODY, "unknown"),
        ([LOST, LOST], ENDED, NOBODY, "unknown"),
        ([LOST] * 3, ENDED, NOBODY, "site_failure"),
        ([LOST] * 3, RENEWED, NOBODY, "partition"),
        ([LOST] * 3, Told(), NOBODY, "unknown"),
        ([LOST] * 3, ENDED, peers(record(verdict="healthy", level="healthy")), "partition"),
        ([LOST] * 3, ENDED, peers(record(verdict="healthy", level="lost")), "site_failure"),
        ([LOST] * 3, ENDED, peers(record(level="healthy"), since_s=-31.0), "site_failure"),
        ([LOST] * 3, ENDED, peers(record(level="healthy", site=ARCHIVE)), "site_failure"),
        ([LOST, SERVED, LOST], ENDED, NOBODY, "partition"),
        ([BLIND] * 3, ENDED, NOBODY, "unknown"),
        ([LOST, BLIND, LOST], ENDED, NOBODY, "unknown"),
        ([LOST, LOST, LOST, HEALTHY], ENDED, NOBODY, "healthy"),
        ([LOST, LOST, LOST, DEGRADED], ENDED, NOBODY, "degraded"),
        ([DEGRADED] * 2 + [HEALTHY], ENDED, NOBODY, "healthy"),
        ([DEGRADED] * 3, ENDED, NOBODY, "degraded"),
        ([ZONE, DEGRADED, ZONE], ENDED, NOBODY, "degraded"),
        ([HEALTHY, ZONE, ZONE], ENDED, NOBODY, "healthy"),
        ([ZONE] * 3, ENDED, NOBODY, "zone_failure"),
    ],
)
def test_several_looks(looks, told, others, verdict):
    assert verdict_on(after(*looks), told, others, RULE, 0.0) == verdict


def test_nobody_vouches_for_a_site_when_the_looks_have_stopped():
    assert verdict_on(after(HEALTHY), ENDED, NOBODY, RULE, RULE.patience) == "healthy"
    assert verdict_on(after(HEALTHY), ENDED, NOBODY, RULE, RULE.patience + 1) == "unknown"


def test_looks_at_another_site_are_forgotten():
    assert len(saw(after(LOST, LOST), look(site=DR), RULE).recent) == 1


@pytest.mark.parametrize(
    ("looks", "wait_s"),
    [
        ([HEALTHY], RULE.interval),
        ([DEGRADED] * 3, RULE.interval),
        ([HEALTHY, LOST], RULE.pace),
        ([HEALTHY, DEGRADED], RULE.pace),
        ([LOST] * 3, RULE.pace),
        ([BLIND] * 3, RULE.pace),
    ],
)
def test_it_looks_more_often_while_something_changes(looks, wait_s):
    assert next_look(after(*looks), RULE, 0.0) == wait_s
    assert next_look(after(*looks), RULE, 60.0) == 60.0


MINE = record(DR)


@pytest.mark.parametrize(
    ("mine", "others", "agreed"),
    [
        (MINE, peers(record()), True),
        (MINE, NOBODY, False),
        (MINE, peers(record(level="blind", verdict="unknown")), False),
        (MINE, peers(record(verdict="partition")), False),
        (MINE, peers(record(verdict="unknown")), False),
        (MINE, peers(record(verdict="healthy", level="healthy")), False),
        (MINE, peers(record(site=DR)), False),
        (MINE, peers(record(), since_s=-31.0), False),
        (MINE, peers(record(), renewed=False), False),
        (record(DR, verdict="partition"), peers(record(), record("osl")), False),
        (MINE, peers(record(), record("osl", level="blind", verdict="unknown")), True),
        (MINE, peers(record(), record("osl", level="healthy", verdict="healthy")), False),
    ],
)
def test_agreement_takes_two_vantages_with_eyes_and_no_other_opinion(mine, others, agreed):
    assert (agree(mine, others, None, RULE, 0.0) is not None) is agreed


def test_an_agreement_lasts_while_nobody_changes_his_mind_and_somebody_judges():
    first = agree(MINE, peers(record()), None, RULE, 0.0)
    later = agree(MINE, peers(record(), since_s=5.0), first, RULE, 5.0)
    assert (later.since_s, later.at_s) == (0.0, 5.0)
    changed = record(since=NOW + timedelta(seconds=3))
    assert agree(MINE, peers(changed), first, RULE, 5.0).since_s == 5.0
    assert agree(MINE, peers(record()), first, RULE, RULE.interval + 1).since_s == RULE.interval + 1


def agreement(since_s=0.0):
    return Agreement(PRIMARY, frozenset(), since_s, since_s)


SUSPICION = Suspicion(site=PRIMARY, epoch=4, detected_at=NOW)
SUSPECTED = Told(active=PRIMARY, epoch=4, lease="ended", suspicion=SUSPICION)


@pytest.mark.parametrize(
    ("told", "rule", "at_s", "due"),
    [
        (SUSPECTED, RULE, 60.0, True),
        (SUSPECTED, RULE, 59.0, False),
        (SUSPECTED, replace(RULE, automatic=False), 600.0, False),
        (replace(SUSPECTED, incident="inc-1"), RULE, 60.0, False),
        (replace(SUSPECTED, active=DR), RULE, 60.0, False),
        (replace(SUSPECTED, epoch=5), RULE, 60.0, False),
        (replace(SUSPECTED, suspicion=None), RULE, 60.0, False),
        (Told(), RULE, 60.0, False),
    ],
)
def test_what_is_declared_by_itself(told, rule, at_s, due):
    assert is_due(Standing(agreement=agreement()), told, rule, at_s) is due
    assert not is_due(Standing(), told, rule, at_s)


def test_a_suspicion_is_written_once_and_ends_when_the_site_is_seen():
    agreed, now = Standing(agreement=agreement()), Moment(0.0, NOW)
    assert suspect(agreed, replace(SUSPECTED, suspicion=None), now) == SUSPICION
    assert suspect(agreed, SUSPECTED, now) is None
    assert suspect(agreed, replace(SUSPECTED, epoch=5), now).epoch == 5
    assert suspect(agreed, Told(), now) is None
    assert not is_over(MINE, SUSPECTED)
    assert is_over(record(DR, "degraded", "degraded"), SUSPECTED)
    assert is_over(MINE, replace(SUSPECTED, active=DR, epoch=5))
    assert not is_over(MINE, Told())


def test_both_vantages_declare_one_loss_and_the_next_loss_is_another():
    later = SUSPICION.model_copy(update={"detected_at": NOW + timedelta(hours=1)})
    assert SUSPICION.key == "respond-us-east-1-4-20260501T000000Z"
    assert later.key != SUSPICION.key


def told_of(revision, site=ARCHIVE):
    return Told(active=PRIMARY, records={site: (record(), revision)})


def test_a_vantage_speaks_once_its_record_was_renewed_and_dies_when_it_is_not():
    known = heard(NOBODY, told_of(1), [ARCHIVE], RULE, 0.0)
    assert not known.known[ARCHIVE].renewed, "what lay there may be of last year"
    known = heard(known, told_of(2), [ARCHIVE], RULE, 10.0)
    assert known.known[ARCHIVE].renewed
    for at_s in (20.0, 30.0, 40.0):
        known = heard(known, told_of(2), [ARCHIVE], RULE, at_s)
    assert not is_dead(known.known[ARCHIVE], RULE, 40.0)
    assert is_dead(known.known[ARCHIVE], RULE, 40.1)


def test_a_vantage_that_never_wrote_is_dead_in_time():
    known = Peers()
    for at_s in range(0, 40, 5):
        known = heard(known, Told(active=PRIMARY), [ARCHIVE], RULE, float(at_s))
    assert is_dead(known.known[ARCHIVE], RULE, 35.0)


def test_without_quorum_nobody_is_called_dead():
    known = heard(heard(NOBODY, told_of(1), [ARCHIVE], RULE, 0.0), told_of(2), [ARCHIVE], RULE, 10.0)
    assert heard(known, Told(), [ARCHIVE], RULE, 500.0) == known
    again = heard(known, told_of(2), [ARCHIVE], RULE, 500.0)
    assert not is_dead(again.known[ARCHIVE], RULE, 500.0)
    assert not again.known[ARCHIVE].renewed


def names(sights, verdict, told=ENDED, others=NOBODY, now_s=0.0, **standing):
    since = Standing(PRIMARY, verdict, NOW, 0.0, **standing)
    return {each.name for each in findings(sights, since, told, replace(others, read_s=now_s), RULE, now_s)}


def test_what_a_person_should_know():
    assert names(after(HEALTHY), "healthy") == set()
    silent = look(outcomes={GATEWAY: "bad", PUBLIC: "bad"})
    assert names(after(silent), "degraded") == {"service"}
    assert names(after(*[LOST] * 3), "site_failure") == {"alone"}
    assert names(after(*[LOST] * 3), "site_failure", others=peers(record())) == set()
    both = names(after(*[LOST] * 3), "site_failure", others=peers(record()), agreement=agreement())
    assert both == {"suspicion"}
    dead = peers(record(), since_s=-31.0)
    assert names(after(HEALTHY), "healthy", others=dead) == {f"vantage {ARCHIVE}"}
    unread = findings(after(HEALTHY), Standing(PRIMARY, "healthy", NOW), Told(), Peers(0.0), RULE, 11.0)
    assert [each.name for each in unread] == ["etcd"]


def test_a_zone_is_made_good_for_in_time_or_it_is_said():
    out = look(silent={"us-east-1c"}, outcomes={DATABASE: "silent"})
    before = Standing(PRIMARY, "zone_failure", NOW, 0.0)
    pending = stand(before, after(out, out, out), ENDED, NOBODY, RULE, Moment(12.0, NOW))
    assert pending.absorbed_s is None
    assert names(after(out), "zone_failure", now_s=12.0) == {"zone"}
    assert names(after(out), "zone_failure", now_s=RULE.absorb + 1) == {"zone not absorbed"}
    good = stand(pending, after(ZONE, ZONE, ZONE), ENDED, NOBODY, RULE, Moment(20.0, NOW))
    assert good.absorbed_s == 20.0
    again = stand(good, after(ZONE, ZONE, ZONE), ENDED, NOBODY, RULE, Moment(30.0, NOW))
    assert again.absorbed_s == 20.0
    assert names(after(ZONE), "zone_failure", absorbed_s=20.0, now_s=999.0) == {"zone absorbed"}


def test_a_standing_keeps_its_beginning_while_the_verdict_stays():
    first = stand(Standing(), after(*[LOST] * 3), ENDED, NOBODY, RULE, Moment(0.0, NOW))
    later = stand(first, after(*[LOST] * 3), ENDED, NOBODY, RULE, Moment(5.0, NOW + timedelta(seconds=5)))
    assert later.since == first.since == NOW
    healed = stand(later, after(HEALTHY), ENDED, NOBODY, RULE, Moment(9.0, NOW + timedelta(seconds=9)))
    assert (healed.verdict, healed.since_s) == ("healthy", 9.0)


def test_the_record_tells_what_was_not_good():
    standing = Standing(PRIMARY, "degraded", NOW)
    found = record_of(DR, after(DEGRADED), standing, ENDED, ())
    assert found.evidence == {"host app-east-1": "silent", "leader key": "ended"}
    assert (found.eyes, found.sees) == (True, True)
    assert record_of(DR, Sights(), standing, ENDED, ()) is None


def test_news_is_what_changed():
    quiet = record(DR, "healthy", "healthy")
    assert [each.event for each in news(None, quiet)] == ["naas-dr.site.verdict"]
    assert list(news(quiet, quiet)) == []
    sights, standing = after(*[LOST] * 3), Standing(PRIMARY, "site_failure", NOW, 0.0, agreement=agreement())
    found = tuple(findings(sights, standing, ENDED, replace(peers(record()), read_s=0.0), RULE, 0.0))
    loud = record_of(DR, sights, standing, ENDED, found)
    assert [each.event for each in news(quiet, loud)] == ["naas-dr.site.verdict", "naas-dr.site.suspected"]
    assert [each.event for each in news(loud, quiet)] == ["naas-dr.site.verdict", "naas-dr.site.cleared"]
