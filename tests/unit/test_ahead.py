"""An iterator taken in another thread gives the same, raises the same, and ends with its block."""

import threading
from itertools import count

import pytest

from tasks.clients.ahead import ahead


def test_it_gives_the_same_items_in_order():
    with ahead(range(1000), 3) as items:
        assert list(items) == list(range(1000))


def test_what_is_raised_there_is_raised_here_after_what_came_before():
    def broken():
        yield 1
        raise ValueError("half way")

    with ahead(broken(), 3) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="half way"):
            next(items)


def test_an_endless_one_ends_with_the_block():
    with ahead(count(), 2) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_it_takes_no_further_than_its_depth():
    taken = []

    def told():
        for number in range(100):
            taken.append(number)
            yield number

    with ahead(told(), 2) as items:
        next(items)
        threading.Event().wait(0.3)
        assert len(taken) <= 5
