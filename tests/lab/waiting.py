"""Waiting for what must come true."""

import time


def until(true, seconds=60, *, pause=0.2):
    """What `true` returns, once that is something; a failed test where it is nothing for so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"{true} did not come true within {seconds:g} s"
        time.sleep(pause)
    return answer
