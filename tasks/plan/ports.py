"""Where each program listens on a host of its own; of a store, the plan's endpoint tells."""

from collections.abc import Mapping

from tasks.plan.sites import Program

PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
HAPROXY_METRICS_PORT = 8405
REDIS_EXPORTER_PORT = 9121
NODE_EXPORTER_PORT = 9100
POSTGRES_EXPORTER_PORT = 9187

PORTS: Mapping[Program, frozenset[int]] = {
    "postgres": frozenset({5432, 8008, POSTGRES_EXPORTER_PORT}),
    "etcd": frozenset({2379, 2380}),
    "gateway": frozenset({5000, 8080, HAPROXY_METRICS_PORT, 9999}),
    "pgbouncer": frozenset({6432}),
    # The second is the bus between the nodes of a cluster.
    "redis": frozenset({6379, 16379}),
    "sentinel": frozenset({26379}),
    "service": frozenset({8000}),
    "control": frozenset({4200, 4300, 5432, PROMETHEUS_PORT, ALERTMANAGER_PORT, REDIS_EXPORTER_PORT, 9469}),
}
# Whatever else a host runs.
ON_EVERY_HOST = frozenset({NODE_EXPORTER_PORT})
