"""A recovery from backups that is resumed for another moment restores that one, or says that it cannot."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

import tasks.restore_cold
from tasks.clients import beside, pgbackrest, private
from tasks.errors import Permanent, Refused
from tasks.facts.cold import ColdAssessment, Infrastructure
from tasks.facts.incident import Incident

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
READY = Infrastructure(how="", host="db")
PLAN = SimpleNamespace(
    sites={"west": SimpleNamespace(hosts={"db": SimpleNamespace(address="db")})},
    access=SimpleNamespace(postgres_bin="/nowhere"),
)


def incident(*, resumed=True):
    return Incident(
        id="i1", service="s", failed_site="east", to_site="west", epoch=1, reason="", detected_at=NOON,
        triggered_at=NOON, kind="cold", resumed=resumed,
    )  # fmt: skip


def assessed(target):
    return ColdAssessment(
        seen=None, old_primary_writable=False, standby_lsn="0/0", standby_next_xid=0,
        standby_last_commit=None, copies=(), source="archive", target=target, expected_loss_s=None,
    )  # fmt: skip


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A host's directories, what was restored into them so far, and the journal."""
    now = SimpleNamespace(live=tmp_path / "data", copy=tmp_path / "dr-cold-i1", restored=[], records={})

    def here(_plan, _address, argv, *, stdin="", **_):
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Permanent("it failed", done.stderr)
        return done.stdout

    def restore(_plan, _site, _host, copy, *, target, **_):
        assert not copy.exists()
        copy.mkdir()
        (copy / "recovery.signal").touch()
        now.restored.append(target)

    for module in (beside, private):
        monkeypatch.setattr(module, "run_on", here)
    monkeypatch.setattr(beside.Layout, "of", lambda *_: SimpleNamespace(data_dir=now.live))
    monkeypatch.setattr(private.PrivateServer, "_options", lambda _: "")
    monkeypatch.setattr(pgbackrest, "restore", restore)
    journal = SimpleNamespace(
        write=lambda _p, _s, _i, name, data: now.records.update({name: data}),
        read=lambda _p, _i, name, _s="": now.records.get(name),
        read_all=lambda _p, _i, start: [v for k, v in sorted(now.records.items()) if k.startswith(start)],
    )
    monkeypatch.setattr(tasks.restore_cold, "journal", journal)
    monkeypatch.setattr("tasks.step.journal", journal)
    return now


def run(target, first=None):
    """One run that asks for a moment, of an incident whose first run asked for another."""
    found = tasks.restore_cold.aimed.fn(PLAN, incident(), assessed(first), target)
    tasks.restore_cold.restore_files.fn(PLAN, incident(), found, READY)
    return found.target


def recover(host):
    (host.copy / "dr_recovered.json").write_text('{"incident": "i1"}')


def swap_in(host):
    recover(host)
    host.copy.rename(host.live)


@pytest.mark.parametrize("recovered", [True, False])
def test_what_was_restored_for_another_moment_is_restored_anew(host, recovered):
    run(None, first=NOON)
    if recovered:
        recover(host)
    assert run(LATER, first=NOON) == LATER
    assert host.restored == [NOON, LATER]
    # Whoever resumes next and names none goes on with what was asked for last.
    assert run(None, first=NOON) == LATER
    assert host.restored == [NOON, LATER]


@pytest.mark.parametrize("target", [None, NOON])
def test_what_was_restored_for_the_same_moment_is_kept(host, target):
    run(None, first=target)
    run(target and target.astimezone(timezone(timedelta(hours=5))), first=target)
    assert host.restored == [target]


def test_another_moment_is_refused_once_the_database_is_in_place(host):
    run(NOON)
    swap_in(host)
    with pytest.raises(Refused, match="in place already"):
        run(LATER)
    assert run(None) == NOON
    assert run(NOON) == NOON
    assert host.restored == [NOON]


def test_what_an_earlier_version_put_in_place_is_not_refused(host):
    run(NOON)
    swap_in(host)
    (host.live / "dr_restored").unlink()
    assert run(LATER) == LATER


def test_what_was_found_of_the_copy_before_does_not_stand(host, monkeypatch):
    class Copy:
        def __init__(self, *_):
            pass

        def state(self):
            return "recovered"

        def recovered(self):
            return told

    monkeypatch.setattr(tasks.restore_cold, "Beside", Copy)
    found = []
    for lsn in ("0/1000", "0/2000"):
        told = {
            "system": "7", "history": f"1\t{lsn}\tx\n", "reached": None, "next_xid": 5, "wal": "w",
            "bytes": 1, "tables": 1,
        }  # fmt: skip
        assessment = assessed(NOON).model_copy(
            update={"source": "west", "copies": (SimpleNamespace(site="west", newest_wal="0" * 24),)}
        )
        found.append(tasks.restore_cold.recover.fn(PLAN, incident(), assessment, READY).lsn)
    assert found == ["0/1000", "0/2000"]
