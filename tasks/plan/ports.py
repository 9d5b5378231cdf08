"""Where each program listens on a host of its own; of a store, the plan's endpoint tells."""

from collections.abc import Mapping

from tasks.plan.sites import Program

PORTS: Mapping[Program, frozenset[int]] = {
    "postgres": frozenset({5432, 8008}),
    "etcd": frozenset({2379, 2380}),
    "gateway": frozenset({5000, 8080, 9999}),
    "pgbouncer": frozenset({6432}),
    # The second is the bus between the nodes of a cluster.
    "redis": frozenset({6379, 16379}),
    "sentinel": frozenset({26379}),
    "service": frozenset({8000}),
    "control": frozenset({4200, 4300, 5432, 9469}),
}
