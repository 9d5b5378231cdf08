"""Whom the channels trust."""

import ssl

from tasks.plan.plan import Plan


def trusted(plan: Plan) -> ssl.SSLContext:
    """The public authorities, and the plan's own for a proxy on one's premises.

    Raises:
        Permanent: the plan's CA certificate cannot be read.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=plan.secret("ca_certificate"))
    return context
