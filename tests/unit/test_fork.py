"""Where a promoted site left the timeline of the old one, however often it was promoted since."""

import pytest

from tasks.clients.postgres import fork_in
from tasks.errors import Permanent

ONCE = "1\t0/3000000\tno recovery target specified\n"
TWICE = ONCE + "\n2\t0/5000000\tno recovery target specified\n"


@pytest.mark.parametrize("left", [0, 1, 7])
def test_the_parent_is_what_was_left_where_nobody_knows_better(left):
    found = fork_in(ONCE, 2, left)
    assert (found.timeline, found.parent, found.lsn) == (2, 1, "0/3000000")


def test_a_site_that_failed_over_again_left_the_old_one_where_it_was_promoted_first():
    left = fork_in(TWICE, 3, 1)
    assert (left.timeline, left.parent, left.lsn) == (3, 1, "0/3000000")


def test_a_site_whose_old_one_had_failed_over_itself_left_its_last_timeline():
    assert fork_in(TWICE, 3, 2).lsn == "0/5000000"


@pytest.mark.parametrize("left", [0, 1])
def test_a_timeline_without_a_history_was_left_nowhere(left):
    with pytest.raises(Permanent, match="timeline 1 has no parent"):
        fork_in("", 1, left)
