"""Whom the channels trust."""

import ssl
from functools import lru_cache

from tasks.plan.plan import Plan


def trusted(plan: Plan) -> ssl.SSLContext:
    """The public authorities, and the plan's own for a proxy on one's premises.

    Raises:
        Permanent: the plan's CA certificate cannot be read.
    """
    return _trusting(plan.secret("ca_certificate"))


@lru_cache(1)
def _trusting(authority: str) -> ssl.SSLContext:
    # Reading the public authorities takes 25 ms; several channels are told at once.
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=authority)
    return context
