"""`killed_speaker.py INCIDENT NUMBER`: the flow `inform`, which kills its own process at its act NUMBER.

With SIGKILL, before or after a record is written or something is sent, counted from 1; with 0 it prints how
many such moments there were. `DR_PLAN` names the plan. Whoever died before it is hardly waited for.
"""

import functools
import itertools
import os
import signal
import sys
import threading
from datetime import timedelta

from deployments.run import entrypoint_of, run
from tasks import inform, speaker, tell_people
from tasks.clients import journal
from tasks.policy import crisis


def main(incident: str, number: int) -> None:
    """Plant the kill, then run the flow."""
    moments, last, lock = itertools.count(1), [0], threading.Lock()

    def reached() -> None:
        with lock:
            last[0] = next(moments)
            if last[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def deadly(act):
        @functools.wraps(act)
        def acting(*args, **kwargs):
            reached()
            answer = act(*args, **kwargs)
            reached()
            return answer

        return acting

    journal.write = deadly(journal.write)
    inform.post = deadly(inform.post)
    inform.publish = deadly(inform.publish)
    tell_people.send = deadly(tell_people.send)
    crisis._SENDING = timedelta(0)
    speaker._TTL_S, speaker._RENEWED_S = 4, 1.0
    run(entrypoint_of("inform"), {"incident": incident})
    print(last[0])  # noqa: T201 -- for the test


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
