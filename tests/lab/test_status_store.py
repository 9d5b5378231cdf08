"""The status page in real stores: anybody reads it, its owner alone writes it, and nothing said is lost."""

import json
import time
from datetime import UTC, datetime
from threading import Thread

import psutil
import pytest
import seaweed
from status_notices import SETTINGS, Markup, notice
from status_stores import status_stores
from waiting import until

from infra.lab.processes import frozen
from tasks.clients import intruder
from tasks.clients.objects import Bucket
from tasks.clients.status_store import FEED, PAGE, STATE
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.validation import Subject
from tasks.policy.exposure import let_in
from tasks.policy.status_documents import documents, held
from tasks.status_page import publish
from tasks.validate_security import _stores

pytestmark = [pytest.mark.lab, pytest.mark.fault]
EAST, WEST, ARCHIVE = "us-east-1", "us-west-2", "eu-west-1"
EVERYWHERE = (EAST, WEST, ARCHIVE)
OBJECTS = (STATE, FEED, PAGE)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with status_stores(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture
def stores(running):
    for site in EVERYWHERE:
        for name in OBJECTS:
            Bucket.public(running.plan, site).delete(name)
    return running


@pytest.fixture
def plan(stores):
    return stores.plan


def at(plan, site):
    """All objects of a site's status bucket."""
    bucket = Bucket.public(plan, site)
    return {entry.key: bucket.get(entry.key) for entry in bucket.list()}


def keys(plan, site):
    return {each.key for each in held(at(plan, site)[STATE]).notices}


def drawn(plan, site):
    """What the page and the feed of a site must be, after its status.json."""
    return {each.name: each.content for each in documents(plan, SETTINGS, held(at(plan, site)[STATE]))}


def test_a_notice_is_on_every_surviving_sites_page_as_anybody_reads_it(stores, plan):
    done = publish(plan, SETTINGS, notice(), EAST)
    assert (set(done.taken), done.missed, done.mended) == ({WEST, ARCHIVE}, {}, ())
    assert at(plan, EAST) == {}
    media = {STATE: "application/json", FEED: "application/atom+xml", PAGE: "text/html; charset=utf-8"}
    for site in (WEST, ARCHIVE):
        for name, media_type in media.items():
            answer = stores.ask("GET", site, name)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == media_type
            assert answer.headers["cache-control"] == "public, max-age=30"
        assert done.urls[site] == str(stores.ask("GET", site, PAGE).url)
        page = Markup(stores.ask("GET", site, PAGE).text)
        assert page.faults == []
        assert "We are moving to another region." in page.text


@pytest.mark.parametrize(
    ("method", "what", "bucket"),
    [
        ("GET", "?list-type=2", None),
        ("GET", "?versions", None),
        ("GET", "?uploads", None),
        ("GET", "?policy", None),
        ("PUT", PAGE, None),
        ("PUT", "planted", None),
        ("POST", "planted?uploads", None),
        ("DELETE", PAGE, None),
        ("DELETE", "", None),
        ("PUT", "?policy", None),
        ("GET", "kept", "naas-us-west-2"),
        ("GET", "?list-type=2", "naas-us-west-2"),
        ("PUT", "planted", "naas-us-west-2"),
        ("DELETE", "kept", "naas-us-west-2"),
        ("PUT", "", "planted"),
    ],
)
def test_a_stranger_reads_the_page_and_does_nothing_else(stores, plan, method, what, bucket):
    publish(plan, SETTINGS, notice(), None)
    Bucket.owned(plan, WEST).put("kept", b"a backup")
    before = at(plan, WEST)
    assert stores.ask(method, WEST, what, bucket).status_code == 403
    assert at(plan, WEST) == before
    assert Bucket.owned(plan, WEST).get("kept") == b"a backup"


def test_a_stranger_copies_no_backup_into_the_open(stores, plan):
    Bucket.owned(plan, WEST).put("kept", b"a backup")
    copy = {"x-amz-copy-source": "/naas-us-west-2/kept"}
    assert stores.ask("PUT", WEST, "planted", headers=copy).status_code == 403


def test_the_security_suite_passes_the_bucket_as_it_is_and_finds_it_too_open_or_closed(stores, plan):
    assert intruder.reads_status_page(plan, WEST) is None
    publish(plan, SETTINGS, notice(), None)
    assert intruder.reads_status_page(plan, WEST) is True
    assert let_in(intruder.at_status_bucket(plan, WEST)) == []
    assert let_in(intruder.at_store(plan, WEST)) == []
    storage = plan.sites[WEST].storage
    with stores.policy_of(WEST, storage.status_bucket, "s3:*"):
        assert let_in(intruder.at_status_bucket(plan, WEST)) == ["no key, listing"]
    with stores.policy_of(WEST, storage.status_bucket, "s3:GetObjectTagging"):
        assert intruder.reads_status_page(plan, WEST) is False
    with stores.policy_of(WEST, storage.bucket, "s3:GetObject"):
        assert let_in(intruder.at_store(plan, WEST)) == ["no key, reading"]


def test_the_security_suite_asks_at_every_store_but_the_failed_sites(stores, plan):
    publish(plan, SETTINGS, notice(), None)
    jobs = _stores(plan, Subject(site=WEST, failed_site=EAST))
    told = {name: jobs[name]() for name in jobs if "status" in name}
    assert told == {
        f"{what} of {site}": said
        for site in (WEST, ARCHIVE)
        for what, said in (
            (
                "strangers at the status bucket",
                f"refused: {', '.join(intruder.at_status_bucket(plan, site))}",
            ),
            ("readers of the status page", "anybody reads it"),
        )
    }
    with stores.policy_of(WEST, plan.sites[WEST].storage.status_bucket, "s3:ListBucket"):
        for name in (f"strangers at the status bucket of {WEST}", f"readers of the status page of {WEST}"):
            with pytest.raises(Permanent):
                jobs[name]()


@pytest.mark.long
def test_the_security_suite_finds_a_bucket_that_strangers_write(stores, plan, monkeypatch):
    """SeaweedFS lets a stranger write as an identity only, never through a policy."""
    closed = seaweed.storage_identities

    def opened(*arguments):
        found = json.loads(closed(*arguments))
        stranger = {"name": "anonymous", "actions": [f"Admin:{plan.sites[ARCHIVE].storage.status_bucket}"]}
        return json.dumps({"identities": [*found["identities"], stranger]})

    publish(plan, SETTINGS, notice(), None)
    monkeypatch.setattr(seaweed, "storage_identities", opened)
    with stores.started_anew(ARCHIVE):
        monkeypatch.undo()
        found = until(lambda: let_in(intruder.at_status_bucket(plan, ARCHIVE)), 30)
        assert found == ["no key, listing", "no key, writing", "no key, deleting"]
        assert set(at(plan, ARCHIVE)) == set(OBJECTS)
    assert until(lambda: let_in(intruder.at_status_bucket(plan, ARCHIVE)) == [], 30)


def test_the_same_notice_twice_changes_nothing_and_none_says_that_it_still_stands(plan):
    publish(plan, SETTINGS, notice(), None)
    before = {site: stamps(plan, site) for site in EVERYWHERE}
    assert set(publish(plan, SETTINGS, notice(at=datetime.now(UTC)), None).taken) == set(EVERYWHERE)
    assert {site: stamps(plan, site) for site in EVERYWHERE} == before
    first = held(at(plan, WEST)[STATE])
    publish(plan, SETTINGS, None, None)
    still = held(at(plan, WEST)[STATE])
    assert (still.notices, still.as_of > first.as_of) == (first.notices, True)


def stamps(plan, site):
    return list(Bucket.public(plan, site).list())


def test_a_page_with_nothing_to_say_is_published_too(plan):
    assert set(publish(plan, SETTINGS, None, None).taken) == set(EVERYWHERE)
    assert "No disruption is reported" in at(plan, WEST)[PAGE].decode()


def test_sites_that_diverged_know_everything_afterwards(plan):
    publish(plan, SETTINGS, notice("inc-1/disrupted"), WEST)
    publish(plan, SETTINGS, notice("inc-2/disrupted"), EAST)
    Bucket.public(plan, ARCHIVE).delete(STATE)
    publish(plan, SETTINGS, notice("inc-3/disrupted"), None)
    contents = [at(plan, site) for site in EVERYWHERE]
    assert keys(plan, EAST) == {f"inc-{n}/disrupted" for n in (1, 2, 3)}
    assert contents[0] == contents[1] == contents[2] == drawn(plan, EAST)


@pytest.mark.long
def test_a_silent_store_holds_nobody_up_and_is_completed_later(stores, plan):
    with frozen(psutil.Process(stores.stores[ARCHIVE].process.pid)):
        began = time.monotonic()
        done = publish(plan, SETTINGS, notice(), EAST)
        assert time.monotonic() - began < 30
    assert done.taken == (WEST,)
    assert set(done.missed) == {ARCHIVE}
    assert publish(plan, SETTINGS, notice(), None).missed == {}
    assert at(plan, ARCHIVE) == at(plan, EAST) == at(plan, WEST)


@pytest.mark.long
def test_a_dead_store_is_told_and_completed_when_it_is_back_and_as_open_as_before(stores, plan):
    stores.stop(ARCHIVE)
    try:
        done = publish(plan, SETTINGS, notice(), EAST)
    finally:
        stores.start(ARCHIVE)
    assert done.taken == (WEST,)
    assert ARCHIVE in done.missed
    assert until(lambda: publish(plan, SETTINGS, notice(), EAST).missed == {}, 30)
    assert at(plan, ARCHIVE) == at(plan, WEST)
    assert stores.ask("GET", ARCHIVE, PAGE).status_code == 200
    assert stores.ask("PUT", ARCHIVE, PAGE).status_code == 403


@pytest.mark.long
def test_without_any_store_it_is_tried_again_and_without_any_bucket_never(stores, plan):
    silent = [frozen(psutil.Process(stores.stores[site].process.pid)) for site in (WEST, ARCHIVE)]
    with silent[0], silent[1], pytest.raises(Transient, match="no store takes the status page"):
        publish(plan, SETTINGS, notice(), EAST)
    sites = {
        name: site.model_copy(update={"storage": site.storage.model_copy(update={"status_bucket": None})})
        for name, site in plan.sites.items()
    }
    with pytest.raises(Refused, match="no status bucket"):
        publish(plan.model_copy(update={"sites": sites}), SETTINGS, notice(), None)


def test_a_bucket_that_is_not_there_is_told(plan):
    storage = plan.sites[EAST].storage.model_copy(update={"status_bucket": "misspelt"})
    site = plan.sites[EAST].model_copy(update={"storage": storage})
    done = publish(plan.model_copy(update={"sites": {**plan.sites, EAST: site}}), SETTINGS, notice(), None)
    assert set(done.taken) == {WEST, ARCHIVE}
    assert "misspelt" in done.missed[EAST]


def test_a_state_that_cannot_be_read_is_written_anew_and_told(plan):
    publish(plan, SETTINGS, notice(), None)
    Bucket.public(plan, WEST).put(STATE, b"{")
    assert publish(plan, SETTINGS, notice(), None).mended == (WEST,)
    assert at(plan, WEST) == at(plan, EAST)


def test_many_publishers_at_once_lose_nothing(plan):
    notices = [notice(f"inc-{n}/disrupted") for n in range(6)]
    told = [Thread(target=publish, args=(plan, SETTINGS, each, None)) for each in notices]
    for each in told:
        each.start()
    for each in told:
        each.join()
    for site in EVERYWHERE:
        assert keys(plan, site) == {each.key for each in notices}
        assert at(plan, site) == drawn(plan, site)


@pytest.mark.parametrize(
    "dies_at", [5, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10) if n != 5)]
)
def test_a_publication_that_was_killed_is_completed_by_the_next(stores, plan, dies_at):
    publish(plan, SETTINGS, notice(), None)
    update = notice("inc-1/update")
    assert stores.publisher(update, dies_at).wait(60) == -9
    left = {
        site: "inc-1/update" in keys(plan, site) and at(plan, site) == drawn(plan, site)
        for site in EVERYWHERE
    }
    assert not all(left.values())
    for site in EVERYWHERE:
        for name in (STATE, FEED, PAGE):
            assert stores.ask("GET", site, name).content.rstrip().endswith((b"}", b"</feed>", b"</html>"))
    assert publish(plan, SETTINGS, update, None).missed == {}
    for site in EVERYWHERE:
        assert keys(plan, site) == {"inc-1/disrupted", "inc-1/update"}
        assert at(plan, site) == drawn(plan, site) == at(plan, EAST)


def test_a_publisher_that_nobody_kills_publishes(stores, plan):
    assert stores.publisher(notice()).wait(60) == 0
    assert keys(plan, WEST) == {"inc-1/disrupted"}
