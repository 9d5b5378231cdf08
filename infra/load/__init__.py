"""The users of the lab: a stream of orders, and the ledger of those that were acknowledged."""
