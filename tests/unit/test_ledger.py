"""The ledger: what was acknowledged, whatever became of its writer."""

import pytest

from infra.load.ledger import Acknowledged, Gap, Ledger, LedgerWriter, Unacknowledged, missing
from tasks.errors import Permanent

EAST = Acknowledged("a", 10.0, 10.1, "us-east-1")
LOST = Unacknowledged("b", 10.2, 12.2, "503 the database is unavailable")
WEST = Acknowledged("c", 13.0, 13.5, "us-west-2")
LATER = Acknowledged("d", 14.0, 14.1, "us-west-2")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with LedgerWriter(path) as writer:
        for attempt in (EAST, LOST, WEST):
            writer.append(attempt)
    return path


def test_reads_back_what_was_written(path):
    assert Ledger.read(path) == Ledger({"a": EAST, "c": WEST}, frozenset({"b"}))


def test_each_line_is_in_the_file_before_the_next_is_begun(path):
    with LedgerWriter(path) as writer:
        writer.append(LATER)
        assert Ledger.read(path).acknowledged["d"] == LATER


@pytest.mark.parametrize("size", [1, 20, 60])
def test_a_torn_last_line_does_not_count(path, size):
    whole = path.read_bytes()
    path.write_bytes(whole[:-size])
    assert Ledger.read(path) == Ledger({"a": EAST}, frozenset({"b"}))


def test_a_writer_does_not_join_its_first_line_to_a_torn_one(path):
    path.write_bytes(path.read_bytes()[:-20])
    with LedgerWriter(path) as writer:
        writer.append(LATER)
    assert set(Ledger.read(path).acknowledged) == {"a", "d"}


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"id": "x"}', '{"id": "x", "acknowledged_at": 1}', ""])
def test_a_broken_line_in_the_middle_is_told(path, line):
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}\n{line}\n{rest}")
    with pytest.raises(Permanent, match="line 2 of"):
        Ledger.read(path)


def test_the_longest_gap_is_between_acknowledgements_only(path):
    with LedgerWriter(path) as writer:
        writer.append(LATER)
    gap = Ledger.read(path).longest_gap()
    assert gap == Gap(10.1, 13.5)
    assert gap.seconds == pytest.approx(3.4)


def test_there_is_no_gap_with_one_acknowledgement():
    assert Ledger({"a": EAST}, frozenset()).longest_gap() is None


@pytest.mark.parametrize(
    ("t", "site", "expected"),
    [
        (0.0, None, EAST),
        (10.1, None, WEST),
        (0.0, "us-west-2", WEST),
        (11.0, "us-east-1", None),
        (14.0, None, None),
    ],
)
def test_first_acknowledged_after(path, t, site, expected):
    assert Ledger.read(path).first_acknowledged_after(t, site) == expected


def test_missing_is_what_was_acknowledged_and_is_not_there():
    assert missing(["a", "b", "c"], ["b", "x"]) == {"a", "c"}
    assert missing(["a"], ["a", "x"]) == set()
