"""The lab's networks: plain loopback, or one network namespace a site joined by a user-space link.

Nothing is imported here, because the link's process starts through this package and must start fast.
"""
