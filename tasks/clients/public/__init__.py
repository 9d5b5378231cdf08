"""Channels that reach the public; each module is one of them."""
