"""Where each program listens on a host of its own; of a store, the plan's endpoint tells."""

from collections.abc import Mapping

from tasks.plan.sites import Program

PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093

PORTS: Mapping[Program, frozenset[int]] = {
    "postgres": frozenset({5432, 8008}),
    "etcd": frozenset({2379, 2380}),
    "gateway": frozenset({5000, 8080, 9999}),
    "pgbouncer": frozenset({6432}),
    "redis": frozenset({6379}),
    "sentinel": frozenset({26379}),
    "service": frozenset({8000}),
    "control": frozenset({4200, 4300, 5432, PROMETHEUS_PORT, ALERTMANAGER_PORT, 9469}),
}
