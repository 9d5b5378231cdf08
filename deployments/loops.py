"""The control plane's loops: too frequent for a schedule, too simple for a flow.

`observe` writes down where the active primary stands; `pull` copies new WAL to the other sites; `inform` sees
whether something is to be said outside, and starts the flow that says it.
"""

import logging
import sys
import time
from collections.abc import Callable

from deployments.ending import told_by
from deployments.speaking import speak
from deployments.telemetry import written
from tasks.current import current_plan
from tasks.errors import DrError, Refused
from tasks.observe import observe
from tasks.plan.plan import Plan
from tasks.replicate import pull_wal

_log = logging.getLogger("dr.loop")


def repeat(act: Callable[[], object], interval_s: float) -> None:
    """Do one thing again and again; a failure is told once, and its end too, and none ends it.

    Args:
        act: the thing.
        interval_s: seconds from one start to the next.
    """
    failing = ""
    while True:
        began = time.monotonic()
        try:
            act()
            if failing:
                _log.warning("works again")
            failing = ""
        except DrError as error:
            if error.message != failing:
                _log.warning("%s", error)
            failing = error.message
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may be well
            if repr(error) != failing:
                _log.exception("a mistake of ours or another's; the loop goes on")
            failing = repr(error)
        time.sleep(max(0.0, interval_s - (time.monotonic() - began)))


@told_by("loops")
def main() -> None:
    """Run the loop that the first argument names; exit code 2 where the plan has none of that name."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    plan = current_plan()
    loops: dict[str, tuple[Callable[[Plan], object], float]] = {
        "observe": (observe, plan.recovery.observe_interval.total_seconds()),
        "pull": (pull_wal, plan.recovery.pull_interval.total_seconds()),
        **({"inform": (speak, plan.crisis.look.total_seconds())} if plan.crisis_communication else {}),
    }
    name = "".join(sys.argv[1:2])
    if name not in loops:
        raise Refused(f"the plan has no loop {name!r}", f"its loops: {', '.join(loops)}")
    act, interval_s = loops[name]
    with written(f"loop-{name}", plan, plan.site_of("dr")):
        repeat(lambda: act(plan), interval_s)


if __name__ == "__main__":
    main()
