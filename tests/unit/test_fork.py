"""Where a promoted site left the timeline of the old one, however often it was promoted since."""

import pytest

from tasks.clients.postgres import fork_in
from tasks.errors import Permanent

ONCE = "1\t0/3000000\tno recovery target specified\n"
TWICE = ONCE + "\n2\t0/5000000\tno recovery target specified\n"


def test_the_parent_is_what_was_left_where_nobody_knows_better():
    assert (fork_in(ONCE, 2, 0).parent, fork_in(ONCE, 2, 0).lsn) == (1, "0/3000000")


def test_a_site_that_failed_over_again_left_the_old_one_where_it_was_promoted_first():
    left = fork_in(TWICE, 3, 1)
    assert (left.timeline, left.parent, left.lsn) == (3, 1, "0/3000000")


@pytest.mark.parametrize(("history", "left"), [("", 0), ("", 1), (TWICE, 7)])
def test_a_history_without_it_tells_nothing(history, left):
    with pytest.raises(Permanent):
        fork_in(history, 3, left)
