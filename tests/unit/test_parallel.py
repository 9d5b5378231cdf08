"""Many servers asked at once: who is late holds nobody up, and who fails is told apart from who is silent."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tasks.clients.parallel import answered, ask_all, each_answer
from tasks.errors import DrError, Permanent, Transient


def failing():
    raise Transient("it does not answer")


def broken():
    raise ValueError("no such thing")


@pytest.fixture
def hanging():
    """A job that answers when the test is over."""
    over = threading.Event()
    yield lambda: over.wait(30)
    over.set()


@contextmanager
def within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_every_answer_and_every_error_is_told():
    found = ask_all({"well": lambda: 7, "failing": failing, "broken": broken}, 10)
    assert found["well"] == 7
    assert str(found["failing"]) == "it does not answer"
    assert isinstance(found["broken"], Permanent)


def test_who_does_not_answer_in_time_is_late(hanging):
    with within(5):
        found = ask_all({"well": lambda: 7, "late": hanging}, 0.2)
    assert found["well"] == 7
    with pytest.raises(Transient, match="no answer in time"):
        answered(found["late"])


def test_once_one_has_answered_the_others_have_a_moment(hanging):
    with within(5):
        assert dict(each_answer({"late": hanging, "well": lambda: 7}, 30, grace=0.1)) == {"well": 7}


def test_an_error_is_no_answer_to_go_on_with():
    jobs = {"failing": failing, "slow": lambda: time.sleep(0.4) or 7}
    found = dict(each_answer(jobs, 30, grace=0.05))
    assert found["slow"] == 7
    assert isinstance(found["failing"], DrError)


def test_nobody_answers(hanging):
    with within(5):
        assert list(each_answer({"late": hanging}, 0.2, grace=0.1)) == []


_WRITES_LATE = """
import pathlib, sys, time
from tasks.clients.parallel import each_answer
late = lambda: time.sleep(0.5) or pathlib.Path(sys.argv[1]).write_text("written")
print(list(each_answer({"late": late}, 0.1, finish=sys.argv[2] == "finish")))
"""


@pytest.mark.parametrize(("how", "written"), [("finish", True), ("leave", False)])
def test_a_process_ends_with_its_late_jobs_only_where_that_is_asked(tmp_path, how, written):
    argv = [sys.executable, "-c", _WRITES_LATE, str(tmp_path / "record"), how]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
    assert (tmp_path / "record").exists() is written
