"""What every run would do first: done before a run's process is forked, which inherits it.

Reading the plan takes 50 ms, and the authorities that TLS trusts 25 ms each time; a recovery waits for both.
"""

from contextlib import suppress

from tasks.clients.channels.trust import trusted
from tasks.clients.http import tls
from tasks.current import current_plan
from tasks.errors import DrError


def warm() -> None:
    """Fill what the process remembers; a plan that cannot be read is told by the run that needs it."""
    tls()
    with suppress(DrError):
        trusted(current_plan())


warm()
