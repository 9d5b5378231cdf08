"""Sealed reports in real stores: whole as they are, and every way to alter them is found."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from bucket_stores import SITES
from reports import report

from infra.lab.secrets import new_signing_key
from tasks.clients import chain, journal, signing
from tasks.clients.chain import digest_of
from tasks.errors import Permanent, Transient
from tasks.seal import seal_reports
from tasks.sealed import SEAL, export_evidence, verify_evidence

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

INCIDENTS = ("inc-1", "inc-2", "inc-3")


class Vault:
    """The archive's bucket in the hands of somebody who may write there."""

    def __init__(self, plan):
        self.client, self.name = plan.control("vault"), plan.sites["vault"].storage.bucket
        self.folder = f"{plan.own}/evidence"

    def keys(self, below):
        listed = self.client.list_objects_v2(Bucket=self.name, Prefix=f"{self.folder}/{below}/")
        return [each["Key"] for each in listed["Contents"]]

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key, data):
        self.client.put_object(Bucket=self.name, Key=key, Body=data, ChecksumAlgorithm="SHA256")

    def delete(self, key):
        self.client.delete_object(Bucket=self.name, Key=key)


@pytest.fixture(scope="module")
def stores(storage_plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    (folder / "key").write_text(new_signing_key())
    storage_plan.folder = folder
    storage_plan.evidence = SimpleNamespace(key="file:key", trusted=(), retention=timedelta(days=60))
    storage_plan.site_of = lambda role: next(name for name, its in SITES.items() if its == role)
    return storage_plan


@pytest.fixture
def plan(stores, monkeypatch):
    """With a chain and a journal of the test's own: nothing of another's can be deleted."""
    own = uuid4().hex
    monkeypatch.setattr(journal, "_FOLDER", f"{own}/incidents")
    for name in ("_LINKS", "_FILES", "_HEAD"):
        monkeypatch.setattr(chain, name, f"{own}/{getattr(chain, name)}")
    stores.own = own
    return stores


@pytest.fixture
def sealed(plan):
    for incident in INCIDENTS:
        tell(plan, report(incident=incident))
    assert [seal.subject for seal in seal_reports.fn(plan)] == list(INCIDENTS)
    assert verify_evidence(plan).flaws == ()
    return plan


def tell(plan, told):
    journal.write(plan, "", told.incident, "report.json", told.model_dump_json())


def test_each_state_of_a_report_is_sealed_once(sealed):
    assert seal_reports.fn(sealed) == []
    tell(sealed, report(incident="inc-2", verdict="missed RTO"))
    assert verify_evidence(sealed).flaws == ("inc-2: its report is not the one that was sealed last",)
    [added] = seal_reports.fn(sealed)
    assert (added.number, added.subject, added.verdict) == (4, "inc-2", "missed RTO")
    found = verify_evidence(sealed)
    assert found.flaws == ()
    assert [link.seal.subject for link in found.links] == [*INCIDENTS, "inc-2"]


def a_byte_of_a_report(vault):
    key = next(key for key in vault.keys("files") if vault.get(key).startswith(b"{"))
    vault.put(key, vault.get(key).replace(b"no power", b"No power"))


def a_byte_of_a_page(vault):
    key = next(key for key in vault.keys("files") if vault.get(key).startswith(b"<"))
    vault.put(key, vault.get(key).replace(b"met", b"Met", 1))


def a_byte_of_a_link(vault):
    key = vault.keys("chain")[1]
    vault.put(key, vault.get(key).replace(b'"payload": "ey', b'"payload": "eY'))


def a_removed_report(vault):
    vault.delete(vault.keys("files")[0])


def a_removed_link(vault):
    vault.delete(vault.keys("chain")[1])


def the_last_link_removed(vault):
    vault.delete(vault.keys("chain")[-1])


def two_links_reordered(vault):
    _, second, third = vault.keys("chain")
    one, other = vault.get(second), vault.get(third)
    vault.put(second, other)
    vault.put(third, one)


def a_link_by_another_key(vault):
    key = vault.keys("chain")[-1]
    vault.put(key, signing.signed(new_signing_key(), SEAL, b"{}"))


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (a_byte_of_a_report, r"report.json of inc-. \(link .\): its content was changed"),
        (a_byte_of_a_page, r"report.html of inc-. \(link .\): its content was changed"),
        (a_byte_of_a_link, "link 2 is not ours"),
        (a_removed_report, r"report.* of inc-. \(link .\): it was removed"),
        (a_removed_link, "link 2 is missing: a report was removed"),
        (the_last_link_removed, "link 3 is missing: a report was removed"),
        (two_links_reordered, "link 2 says that it is link 3: the chain was reordered"),
        (a_link_by_another_key, "link 3 is not ours: no trusted key signed this"),
    ],
)
def test_whatever_is_altered_is_found(sealed, alter, told):
    alter(Vault(sealed))
    found = verify_evidence(sealed).flaws
    assert any(re.match(told, flaw) for flaw in found), found


@pytest.mark.parametrize("alter", [the_last_link_removed, a_link_by_another_key])
def test_nothing_is_added_behind_an_end_that_is_not_ours(sealed, alter):
    alter(Vault(sealed))
    tell(sealed, report(incident="inc-4"))
    with pytest.raises(Permanent):
        seal_reports.fn(sealed)


def test_what_is_locked_cannot_be_deleted(sealed):
    vault = Vault(sealed)
    for key in (*vault.keys("chain"), *vault.keys("files")):
        version = vault.client.head_object(Bucket=vault.name, Key=key)["VersionId"]
        with pytest.raises(ClientError, match="AccessDenied"):
            vault.client.delete_object(Bucket=vault.name, Key=key, VersionId=version)
        until = vault.client.get_object_retention(Bucket=vault.name, Key=key)["Retention"]["RetainUntilDate"]
        assert until > datetime.now(UTC) + timedelta(days=59)


def test_of_two_runs_at_once_each_link_is_written_by_one(plan):
    for incident in INCIDENTS:
        tell(plan, report(incident=incident))

    def run(_):
        try:
            return seal_reports.fn(plan)
        except Transient:
            return []

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    seal_reports.fn(plan)
    found = verify_evidence(plan)
    assert found.flaws == ()
    assert [link.seal.subject for link in found.links] == list(INCIDENTS)


def silence(plan, monkeypatch, site):
    silent = plan.sites[site].storage.model_copy(update={"endpoint": "https://127.77.9.51:9"})
    monkeypatch.setattr(plan.sites[site], "storage", silent)


def test_who_could_not_be_asked_is_named_and_the_archive_alone_is_not_believed(sealed, monkeypatch):
    silence(sealed, monkeypatch, "north")
    one = verify_evidence(sealed)
    assert (one.flaws, list(one.silent)) == ((), ["north"])
    silence(sealed, monkeypatch, "south")
    both = verify_evidence(sealed)
    alone = "only the archive says where the chain ends: north, south could not be asked"
    assert (both.flaws, list(both.silent)) == ((alone,), ["north", "south"])


def test_an_auditor_gets_pages_seals_and_keys(sealed, tmp_path):
    folder = tmp_path / "audit"
    assert export_evidence(sealed, folder) == len(INCIDENTS)
    page = (folder / "inc-1" / "report.html").read_text()
    assert "inc-1" in page
    assert "http" not in page
    assert "whole" in (folder / "index.html").read_text()
    link = (folder / "chain" / "00000002.json").read_bytes()
    assert b"inc-2" in signing.opened(link, SEAL, (folder / "keys.pem").read_text())
    assert (
        digest_of(page.encode())
        in signing.opened(
            (folder / "chain" / "00000001.json").read_bytes(), SEAL, (folder / "keys.pem").read_text()
        ).decode()
    )
