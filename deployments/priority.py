"""Who goes first where several want a processor: recoveries before everything, routine work last.

Many routine runs may be due at the very minute of a disaster. Under systemd the units' weights say the same.

Source: nice(2); sched(7), "The autogroup feature".
"""

import os
from contextlib import suppress
from pathlib import Path

_NICENESS = 10


def go_first() -> None:
    """Take the processors before others do; without the privilege for it, nothing changes."""
    _weigh(-_NICENESS)


def stand_back() -> None:
    """Leave the processors to whatever else wants them, but for a tenth."""
    _weigh(_NICENESS)


def _weigh(niceness: int) -> None:
    with suppress(OSError):
        os.nice(niceness)
    # Where Linux weighs sessions, a process's own niceness counts within its session only.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))
