"""The lab's networks: plain loopback, or one network namespace a site joined by a user-space link.

The link's process starts through this package, so nothing slow (the plan's models) is imported here.
"""

from infra.lab.network.base import Network
from infra.lab.network.loopback import Loopback
from infra.lab.network.namespaces import Namespaces

__all__ = ["Loopback", "Namespaces", "Network"]
