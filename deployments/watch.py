"""The watch: looks at the active site from another one, for as long as there is a service.

`python -m deployments.watch VANTAGE_SITE`, one process a vantage. One thread looks, one judges, one tells
Prefect: a look that takes its whole timeout delays no judgement, and a Prefect that is gone delays neither.
Without etcd's quorum it goes on looking, and says so; a loss can then be declared by hand only.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from deployments.ending import told_by
from deployments.outbox import Outbox
from deployments.telemetry import written
from deployments.trigger import Api
from deployments.vantage import Watch
from tasks.current import current_plan
from tasks.errors import Refused
from tasks.facts.watch import Moment
from tasks.policy.watch import rule_of
from tasks.watching import Exchange, Prober, vantages_of

_log = logging.getLogger("dr.watch")
# After a look that ended in what nobody foresaw.
_AGAIN_S = 1.0


def keep(watch: Watch) -> None:
    """Look and judge for ever."""
    looked = threading.Event()
    threading.Thread(target=_keep_looking, args=(watch, looked), name="looks", daemon=True).start()
    while True:
        looked.wait(watch.wait_s())
        looked.clear()
        _guarded(watch.judge)


def _keep_looking(watch: Watch, looked: threading.Event) -> None:
    while True:
        if _guarded(watch.look):
            looked.set()
            time.sleep(max(0.0, watch.next_look_s() - time.monotonic()))
        else:
            time.sleep(_AGAIN_S)


def _guarded(act: Callable[[], None]) -> bool:
    """One answer that nobody foresaw must not end what watches."""
    try:
        act()
    except Exception:  # noqa: BLE001 -- told with its traceback
        _log.exception("the watch goes on")
        return False
    return True


@told_by("watch")
def main() -> None:
    """Watch from the site that the first argument names; exit code 2 where that is no vantage."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    plan, vantage = current_plan(), "".join(sys.argv[1:2])
    vantages = vantages_of(plan)
    if vantage not in vantages:
        raise Refused(f"the plan has no watch at {vantage!r}", f"its vantages: {', '.join(vantages)}")
    rule = rule_of(plan)
    outbox = Outbox(Api(os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING", "")))
    outbox.begin()
    others = tuple(each for each in vantages if each != vantage)
    watch = Watch(
        vantage, others, plan.site_of("primary"), rule,
        Prober(plan, vantage, rule), Exchange(plan, vantage, rule), outbox,
        lambda: Moment(time.monotonic(), datetime.now(UTC)),
    )  # fmt: skip
    with written("watch", plan, vantage):
        keep(watch)


if __name__ == "__main__":
    main()
