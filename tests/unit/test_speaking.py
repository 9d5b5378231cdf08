"""The loop that has the public told, and the flow that tells: nothing silences or holds up either."""

import threading
import time
from datetime import UTC, datetime

import pytest
from memory_etcd import etcd_of_speakers
from memory_journal import Journal
from third_parties import INCIDENT, NOON

import tasks.crisis_record
import tasks.inform
from deployments import loops, speaking
from deployments.run import entrypoint_of, run
from tasks.errors import Transient
from tasks.facts.crisis import Telling
from tasks.speaker import Silenced, Speaker

OLD, NEW = "inc-20261123T110000Z-aaaa", "inc-20261123T120000Z-bbbb"


@pytest.fixture
def journal(monkeypatch):
    journal = Journal()
    monkeypatch.setattr(tasks.crisis_record, "journal", journal)
    for name in (OLD, NEW):
        now = datetime.now(UTC)
        case = INCIDENT.model_copy(update={"id": name, "detected_at": now, "triggered_at": now})
        journal.write(None, "", name, "incident.json", case.model_dump_json())
    return journal


@pytest.fixture(autouse=True)
def etcd(monkeypatch):
    return etcd_of_speakers(monkeypatch)


@pytest.fixture
def clock(monkeypatch):
    """The loop's own clock, which tests move."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(speaking, "time", clock)
    monkeypatch.setattr(speaking, "_looked", {})
    monkeypatch.setattr(speaking, "_asked", {})
    return clock


@pytest.fixture
def started(monkeypatch, clock):
    """Which runs were asked of Prefect, and which began here."""
    asked, here = [], []
    monkeypatch.setattr(speaking, "recent_incidents", lambda _plan, _now: [OLD, NEW])
    monkeypatch.setattr(speaking, "api", lambda: None)
    monkeypatch.setattr(
        speaking, "trigger", lambda _api, _flow, parameters, *_, **__: asked.append(parameters["incident"])
    )
    monkeypatch.setattr(speaking, "start_here", lambda _flow, parameters: here.append(parameters["incident"]))
    return asked, here


def test_both_disasters_are_spoken_of(plans, journal, started):
    speaking.speak(plans.plan)
    assert started[0] == [OLD, NEW]


@pytest.mark.parametrize("fault", ["unreachable", "unreadable"])
def test_a_disaster_whose_record_cannot_be_read_does_not_silence_another(plans, journal, started, fault):
    if fault == "unreachable":
        journal.down.add(OLD)
    else:
        journal.write(None, "", OLD, "incident.json", "{}")
    with pytest.raises(Exception, match="no store answers" if fault == "unreachable" else "Incident"):
        speaking.speak(plans.plan)
    assert started[0] == [NEW]


def test_runs_that_prefect_takes_and_never_begins_are_run_here(plans, journal, started, clock):
    asked, here = started
    journal.records.pop((OLD, "incident.json"))
    for _ in range(3):
        speaking.speak(plans.plan)
        clock.now += speaking._AGAIN_S + 1
    assert (asked, here) == ([NEW, NEW], [NEW])


def test_a_run_that_says_something_is_asked_of_prefect_again(plans, journal, started, clock):
    asked, here = started
    journal.records.pop((OLD, "incident.json"))
    for number in range(4):
        speaking.speak(plans.plan)
        clock.now += speaking._AGAIN_S + 1
        place = {"notice": "disrupted", "audience": "customers", "channel": "email"}
        told = Telling(**place, outcome="failed", at=NOON.replace(second=number))
        name = "public/tellings/disrupted/customers/email-failed.json"
        journal.write(None, "", NEW, name, told.model_dump_json())
    assert (asked, here) == ([NEW] * 4, [])


def test_a_loop_outlives_what_is_no_error_of_ours(monkeypatch):
    acts = iter([KeyError("PREFECT_API_URL"), Transient("down"), None, StopAsyncIteration()])
    seen = []

    class Ended(BaseException):
        pass

    def act():
        failure = next(acts)
        seen.append(failure)
        if isinstance(failure, StopAsyncIteration):
            raise Ended
        if failure:
            raise failure

    monkeypatch.setattr(loops.time, "sleep", lambda _seconds: None)
    with pytest.raises(Ended):
        loops.repeat(act, 1.0)
    assert len(seen) == 4


@pytest.fixture
def slow_mail(plans, journal, monkeypatch):
    """The flow over a journal in memory, with a mailing that takes its time; what was told, in order."""
    told, ended = [], threading.Event()

    def mailing(plan, crisis, notice, audience, channel, _speaker):
        assert ended.wait(30)
        told.append((notice.phase, audience, channel))
        place = notice.key, audience, channel
        return tasks.crisis_record.record_telling(plan, crisis.incident, place, "sent", "")

    def saying(_plan, crisis, notice, channel):
        told.append((notice.phase, crisis.incident.id, channel))
        return "said"

    monkeypatch.setenv("DR_PLAN", str(plans.folder / "plan.yaml"))
    monkeypatch.setattr(tasks.inform, "tell_people", mailing)
    monkeypatch.setattr(tasks.inform, "_say", saying)
    monkeypatch.setattr(tasks.inform, "create_markdown_artifact", lambda **_: None)
    return told, ended


def test_a_slow_mailing_holds_up_no_other_disaster(plans, journal, slow_mail, monkeypatch):
    told, ended = slow_mail
    monkeypatch.setattr("flows.inform._LOOK_S", 0.2)
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())
    monkeypatch.setattr(tasks.inform, "recent_incidents", lambda _plan, _now: [NEW])

    def release():
        deadline = time.monotonic() + 20
        while ("disrupted", NEW, "statuspage") not in told and time.monotonic() < deadline:
            time.sleep(0.05)
        ended.set()

    threading.Thread(target=release, daemon=True).start()
    run(entrypoint_of("inform"), {"incident": OLD})
    mails = [each for each in told if each[2] in {"email", "sms"}]
    assert told.index(("disrupted", NEW, "statuspage")) < told.index(mails[0])
    assert len(told) == len(set(told)) + len(mails) - len(set(mails))


def test_what_went_wrong_with_one_telling_is_told_once_the_others_were(
    plans, journal, slow_mail, monkeypatch
):
    told, ended = slow_mail
    ended.set()
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())

    def mailing(*_):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(tasks.inform, "tell_people", mailing)
    with pytest.raises(ValueError, match="a mistake of ours"):
        run(entrypoint_of("inform"), {"incident": NEW})
    assert ("disrupted", NEW, "statuspage") in told


def test_who_has_not_the_place_says_nothing_but_who_has_it(plans, journal, slow_mail, monkeypatch, etcd):
    told, ended = slow_mail
    ended.set()
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())
    first = Speaker(plans.plan)
    assert first.other(NEW) == ""
    records = dict(journal.records)
    assert run(entrypoint_of("inform"), {"incident": NEW}).endswith(f"speaks for {NEW}")
    assert (told, journal.records) == ([], records)
    first.leave()
    assert run(entrypoint_of("inform"), {"incident": NEW}) == len(told) > 0
    assert (etcd.keys, etcd.leases) == ({}, set())


def test_without_etcd_it_is_told_all_the_same(plans, journal, slow_mail, monkeypatch, etcd):
    told, ended = slow_mail
    ended.set()
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())
    etcd.down = True
    assert run(entrypoint_of("inform"), {"incident": NEW}) == len(told) > 0


def test_who_loses_the_place_puts_no_failure_on_record_and_ends(plans, journal, slow_mail, monkeypatch, etcd):
    slow_mail[1].set()
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())

    def mailing(*given):
        speaks = given[-1]
        etcd.end_all()
        speaks._until = 0.0
        speaks.require()

    monkeypatch.setattr(tasks.inform, "tell_people", mailing)
    with pytest.raises(Silenced):
        run(entrypoint_of("inform"), {"incident": NEW})
    assert not [name for _, name in journal.records if name.endswith("-failed.json")]


def test_the_place_is_kept_until_the_last_mailing_ends_whatever_fails_beside_it(
    plans, journal, slow_mail, monkeypatch, etcd
):
    _, ended = slow_mail
    held = []
    monkeypatch.setattr("flows.inform._LOOK_S", 0.2)
    monkeypatch.setattr("flows.inform.to_tell", lambda *_: ())

    def mailing(*_):
        ended.wait(30)
        held.append(len(etcd.keys))
        raise ValueError("a mistake of ours")

    def unreadable(*_):
        threading.Timer(0.5, ended.set).start()
        raise KeyError("another disaster's record")

    monkeypatch.setattr(tasks.inform, "tell_people", mailing)
    monkeypatch.setattr(tasks.inform, "recent_incidents", unreadable)
    with pytest.raises(KeyError):
        run(entrypoint_of("inform"), {"incident": NEW})
    assert held
    assert set(held) == {1}
    assert etcd.keys == {}
