import pytest

from tasks.clients.walnames import (
    Segment,
    Switch,
    format_lsn,
    parse_archived,
    parse_history,
    parse_lsn,
)

MIB16 = 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "size", "number"),
    [
        ("000000010000000000000003", MIB16, 3),
        ("0000000100000001000000FF", MIB16, 0x1FF),
        ("000000010000000100000003", 1024 * 1024 * 1024, 7),
    ],
)
def test_segment_names_go_there_and_back(name, size, number):
    segment = Segment.parse(name, size)
    assert (segment.timeline, segment.number) == (1, number)
    assert segment.name(size) == name


@pytest.mark.parametrize("name", ["", "00000001000000000000000", "000000010000000000000100", "x" * 24])
def test_what_is_no_segment_is_refused(name):
    with pytest.raises(ValueError, match="not a WAL segment"):
        Segment.parse(name)


def test_lsns_go_there_and_back():
    assert parse_lsn("16/B374D848") == 0x16B374D848
    assert format_lsn(0x16B374D848) == "16/B374D848"
    with pytest.raises(ValueError, match="not an LSN"):
        parse_lsn("16-B374D848")


def test_a_segment_holds_its_lsns():
    assert Segment.holding(1, parse_lsn("0/6FFFFFF")).name() == "000000010000000000000006"
    assert format_lsn(Segment(1, 6).end()) == "0/7000000"


@pytest.mark.parametrize(
    "name", ["00000002.history", "000000010000000000000002.00000028.backup", "archive.info", "x.zst"]
)
def test_what_is_no_archived_segment_is_passed_over(name):
    assert parse_archived(name) is None


def test_a_history_names_its_ancestors():
    text = "1\t0/60000A0\tno recovery target specified\n\n2\t0/9000000\tat restore point\n"
    assert parse_history(text) == (Switch(1, 0x60000A0), Switch(2, 0x9000000))
    with pytest.raises(ValueError, match="no LSN"):
        parse_history("1\n")
