"""A replica is made from the repository only where its recovery takes the turns that its server took."""

from pathlib import Path

import pytest
import yaml

from infra.render import host_files
from infra.replicas.from_repository import (
    UnusableError,
    Upstream,
    main,
    newest_backup,
    parse_history,
    parse_upstream,
    require_line,
    segment_name,
)
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
SIZE = 16 * 1024 * 1024
SYSTEM = "7512345678901234567"
# Timeline 1 was left in its fifth segment, timeline 2 in its ninth.
HISTORY = "1\t0/5000138\tno recovery target specified\n\n2\t0/9A00000\tno recovery target specified\n"
THIRD = Upstream(SYSTEM, 3, SIZE, {1: 0x5000138, 2: 0x9A00000})
FIRST = Upstream(SYSTEM, 1, SIZE, {})
SHA1 = "8" * 40


def backup(label, timeline, stop, **changed):
    wal = f"{timeline:08X}{int(stop.split('/')[0], 16):08X}00000002"
    told = {
        "label": label,
        "error": False,
        "archive": {"start": wal, "stop": wal},
        "lsn": {"start": "0/2000028", "stop": stop},
        "database": {"id": 1, "repo-key": 1},
    }
    return told | changed


def stanza(*backups):
    databases = [{"id": 1, "system-id": int(SYSTEM), "version": "15"}]
    return {"name": "naas-postgres", "db": databases, "backup": list(backups)}


def archived(*names):
    return [f"0000000100000000/{name}-{SHA1}.zst" if len(name) == 24 else name for name in names]


WHOLE = ("00000002.history", "00000003.history", "000000020000000000000005", "000000030000000000000009")


def test_a_server_tells_its_line():
    identity = f"{SYSTEM}|3|0/A000060|\n16MB\n"
    assert parse_upstream(identity, f"00000003.history|{HISTORY}") == THIRD
    assert parse_upstream(f"{SYSTEM}|1|0/A000060|\n16MB\n", "") == FIRST
    assert parse_upstream(f"{SYSTEM}|1|0/A000060|\n1GB\n", "").segment_size == 1024**3


@pytest.mark.parametrize("told", ["", "16MB\n", f"{SYSTEM}|x|0/0|\n16MB\n", f"{SYSTEM}|1|0/0|\n16TB\n"])
def test_what_is_no_answer_is_refused(told):
    with pytest.raises(UnusableError, match="tells"):
        parse_upstream(told, "")


def test_a_history_is_read_alike_from_a_server_and_from_the_repository():
    assert parse_history(HISTORY) == parse_history(f"00000003.history|{HISTORY}") == THIRD.left


def test_the_newest_backup_on_the_line_is_taken():
    own, before = backup("OWN", 3, "0/B000100"), backup("BEFORE", 2, "0/9000100")
    assert newest_backup(stanza(before, own), THIRD) == ("OWN", 3, "15-1")
    assert newest_backup(stanza(before), THIRD) == ("BEFORE", 2, "15-1")
    assert newest_backup(stanza(backup("FIRST", 1, "0/2000100")), FIRST) == ("FIRST", 1, "15-1")


@pytest.mark.parametrize(
    "unusable",
    [
        backup("BEHIND_THE_FORK", 1, "0/5000139"),
        backup("LATER_TIMELINE", 4, "0/5000100"),
        backup("DAMAGED", 3, "0/B000100", error=True),
        backup("OTHER_DATABASE", 3, "0/B000100", database={"id": 2, "repo-key": 1}),
        backup(
            "OVER_A_TURN", 2, "0/9000100", archive={"start": f"{1 << 64:024X}", "stop": f"{2 << 64:024X}"}
        ),
    ],
    ids=lambda each: each["label"],
)
def test_a_backup_that_leads_elsewhere_is_passed_over(unusable):
    good = backup("GOOD", 1, "0/5000138")
    assert newest_backup(stanza(good, unusable), THIRD)[0] == "GOOD"
    with pytest.raises(UnusableError, match="no backup"):
        newest_backup(stanza(unusable), THIRD)


def test_another_system_s_repository_is_refused():
    with pytest.raises(UnusableError, match="no backup"):
        newest_backup(stanza(backup("GOOD", 1, "0/2000100")), Upstream("1", 1, SIZE, {}))


def test_a_repository_with_every_turn_leads_to_the_server():
    require_line(THIRD, 1, archived(*WHOLE, "000000010000000000000005", "000000010000000000000006"))
    require_line(THIRD, 2, archived("00000003.history", "000000030000000000000009"))
    require_line(THIRD, 3, archived())
    require_line(FIRST, 1, archived("000000010000000000000005"))


@pytest.mark.parametrize("missing", WHOLE)
def test_without_one_turn_the_recovery_could_go_astray(missing):
    with pytest.raises(UnusableError, match=missing.removesuffix(".history").lstrip("0")[0]):
        require_line(THIRD, 1, archived(*(name for name in WHOLE if name != missing)))


def test_a_partial_segment_is_no_turn():
    names = archived(*WHOLE[:3], f"{WHOLE[3]}.partial-{SHA1}.zst")
    with pytest.raises(UnusableError, match=WHOLE[3]):
        require_line(THIRD, 1, names)


def test_a_timeline_that_the_server_does_not_know_would_be_followed():
    with pytest.raises(UnusableError, match="timeline 4"):
        require_line(THIRD, 1, archived(*WHOLE, "00000004.history"))


def test_segments_are_named_as_postgresql_names_them():
    assert segment_name(1, 0x5000138, SIZE) == "000000010000000000000005"
    assert segment_name(10, 0x2_FF000000, SIZE) == "0000000A00000002000000FF"
    assert segment_name(1, 0x2_FF000000, 1024**3) == "000000010000000200000003"


@pytest.mark.parametrize(
    ("connection", "why"), [("", "no server to follow"), ("host=127.0.0.1 port=1", "does not answer")]
)
def test_where_nobody_can_be_asked_patroni_takes_its_next_method(tmp_path, capsys, connection, why):
    words = [
        "--psql",
        f"{PLAN.access.postgres_bin}/psql",
        "--pgbackrest",
        "pgbackrest --stanza=naas-postgres",
    ]
    given = ["--keep_data=True", "--no_leader=True", "--scope=naas", "--role=replica"]
    assert (
        main([*words, *given, f"--datadir={tmp_path}/data", f"--connstring={connection}"], patience_s=0) == 1
    )
    assert why in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_every_node_tries_its_own_repository_before_another_server():
    for site_name, site in PLAN.sites.items():
        for host in site.running("postgres"):
            files = host_files(PLAN, site_name, host, active=PLAN.site_of("primary"), secrets=False)
            node = yaml.safe_load(files["etc/patroni/10-patroni.yml"].text)
            own = node["postgresql"]
            standby = node["bootstrap"]["dcs"].get("standby_cluster", own)
            assert (
                own["create_replica_methods"]
                == standby["create_replica_methods"]
                == ["pgbackrest", "basebackup"]
            )
            command = own["pgbackrest"]["command"].split()
            assert command[1].endswith("/etc/patroni/from_repository.py")
            assert not files["etc/patroni/from_repository.py"].secret
            # The leave to remove data is never in a file: there it would hold at any time.
            assert "remove_data_directory" not in files["etc/patroni/10-patroni.yml"].text
