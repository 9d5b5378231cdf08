"""The third parties through which people are told: one module a channel, each with one `send`."""
