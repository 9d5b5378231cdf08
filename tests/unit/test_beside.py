"""What a copy beside was restored for decides whether a run that resumes may use it."""

from datetime import UTC, datetime

import pytest

from tasks.clients.beside import aim_of
from tasks.errors import Refused, Transient
from tasks.restore_cold import _is_wanted, _require_gone

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
LATER = datetime(2026, 6, 30, 13, tzinfo=UTC)


class Copy:
    """A copy in a state, restored for a moment."""

    def __init__(self, state, target):
        self.state = lambda: state
        self.aim = lambda: aim_of(target)


@pytest.mark.parametrize("state", ["restored", "recovered", "in place"])
@pytest.mark.parametrize("target", [None, NOON])
def test_a_copy_of_the_same_moment_is_used(state, target):
    assert not _is_wanted(Copy(state, target), target)


@pytest.mark.parametrize("state", ["nothing", "restored", "recovered"])
@pytest.mark.parametrize(("target", "wanted"), [(None, NOON), (NOON, LATER), (NOON, None)])
def test_another_moment_is_restored_anew(state, target, wanted):
    assert _is_wanted(Copy(state, target), wanted)


def test_what_is_in_place_is_not_replaced_by_another_moment():
    with pytest.raises(Refused, match="is in place already"):
        _is_wanted(Copy("in place", NOON), LATER)


@pytest.mark.parametrize(
    ("unreached", "lives"), [(set(), False), ({"db-2"}, False), ({"db-1"}, True), ({"db-1", "db-2"}, True)]
)
def test_a_node_that_lives_and_cannot_be_stopped_holds_up_the_swap(monkeypatch, unreached, lives):
    record = {"members/db-1": "{}", "config": "{}", "leader": "db-1"}
    monkeypatch.setattr("tasks.restore_cold.scope.record_of", lambda _plan, _site: record)
    if not lives:
        _require_gone(None, "us-west-2", unreached)
        return
    with pytest.raises(Transient, match="db-1 cannot be reached"):
        _require_gone(None, "us-west-2", unreached)
