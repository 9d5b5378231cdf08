"""Traces, the service mesh, and the parameters of the stacks."""

from datetime import timedelta
from typing import Any

from infra.platform.rules import seconds
from tasks.plan.plan import Plan

INSTANCE_COOKIE = "INSTANCE"
"""Keeps a user at one instance where the plan wants sticky sessions."""
# Istio balances by the least requests where nothing is said.
_BALANCERS = {"round_robin": "ROUND_ROBIN", "random": "RANDOM"}


def trace_lifecycle(retention: timedelta, rotation: timedelta) -> dict[str, Any]:
    """The lifecycle of Jaeger's indices in Elasticsearch; the age of deletion counts from the rollover."""
    return {
        "policy": {
            "phases": {
                "hot": {"actions": {"rollover": {"max_age": seconds(rotation)}}},
                "delete": {"min_age": seconds(retention), "actions": {"delete": {}}},
            }
        }
    }


def sampling(plan: Plan) -> dict[str, Any]:
    """Jaeger's sampling strategies."""
    rate = float(plan.monitoring.tracing.jaeger.sampling_rate)
    return {"default_strategy": {"type": "probabilistic", "param": rate}}


def destination_rule(plan: Plan) -> dict[str, Any]:
    """The seed's circuit breaker; Istio now calls its consecutiveErrors consecutive5xxErrors."""
    breaker = plan.mesh.circuit_breaker
    outliers, pool = breaker.outlier_detection, breaker.connection_pool
    policy: dict[str, Any] = {
        "outlierDetection": {
            "consecutive5xxErrors": outliers.consecutive_errors,
            "interval": seconds(outliers.interval),
            "baseEjectionTime": seconds(outliers.base_ejection_time),
            "maxEjectionPercent": int(outliers.max_ejection * 100),
        },
        "connectionPool": {
            "tcp": {"maxConnections": pool.max_connections},
            "http": {
                "http1MaxPendingRequests": pool.http1_max_pending_requests,
                "maxRequestsPerConnection": pool.max_requests_per_connection,
            },
        },
    }
    if balancer := _balancer(plan):
        policy["loadBalancer"] = balancer
    spec: dict[str, Any] = {"host": plan.mesh.host, "trafficPolicy": policy}
    if istio := plan.service.endpoint.istio:
        spec["subsets"] = [{"name": site, "labels": dict(labels)} for site, labels in istio.subsets.items()]
    return _manifest(plan, "DestinationRule", breaker.name, spec)


def _balancer(plan: Plan) -> dict[str, Any]:
    balancing = plan.high_availability.load_balancing
    if balancing.sticky_sessions:
        return {"consistentHash": {"httpCookie": {"name": INSTANCE_COOKIE, "ttl": "0s"}}}
    return {"simple": each} if (each := _BALANCERS.get(balancing.algorithm)) else {}


def virtual_service(plan: Plan) -> dict[str, Any]:
    """The seed's retries and timeout, with the hosts and the routes that Istio requires."""
    policy = plan.mesh.retry_policy
    http = {
        "route": _routes(plan),
        "retries": {
            "attempts": policy.attempts,
            "perTryTimeout": seconds(policy.per_try_timeout),
            "retryOn": ",".join(policy.retry_on),
        },
        "timeout": seconds(policy.timeout),
    }
    return _manifest(plan, "VirtualService", policy.name, {"hosts": [plan.mesh.host], "http": [http]})


def _routes(plan: Plan) -> list[dict[str, Any]]:
    """One route, or one for each site where Istio moves the users, which tasks.clients.traffic weighs."""
    host, istio = plan.mesh.host, plan.service.endpoint.istio
    if istio is None:
        return [{"destination": {"host": host}}]
    active = plan.site_of("primary")
    return [
        {"destination": {"host": host, "subset": site}, "weight": 100 if site == active else 0}
        for site in istio.subsets
    ]


def _manifest(plan: Plan, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    if istio := plan.service.endpoint.istio:
        metadata["namespace"] = istio.namespace
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def stack_parameters(plan: Plan) -> list[dict[str, str]]:
    """CloudFormation's parameters, as `aws cloudformation create-stack --parameters` reads them."""
    nodes, zones = plan.postgresql_ha.nodes, plan.high_availability.zones
    check = plan.high_availability.failover.health_checks[0]
    values = {
        "ServiceName": plan.service.name,
        "DatabaseName": plan.service.database,
        "PrimaryZone": zones.primary,
        "SecondaryZones": ",".join(zones.secondary),
        "PrimaryInstanceType": nodes.primary.instance_type,
        "ReplicaInstanceTypes": ",".join(node.instance_type for node in nodes.replicas),
        "BackupRetentionDays": plan.backup_strategy.database.full_backup.retention.days,
        "HealthCheckPath": check.endpoint,
        "HealthCheckIntervalSeconds": int(check.interval.total_seconds()),
        "HealthCheckTimeoutSeconds": int(check.timeout.total_seconds()),
        "HealthCheckFailures": check.retries,
        "HealthCheckGraceSeconds": int(
            plan.high_availability.load_balancing.health_check_grace_period.total_seconds()
        ),
    }
    for name, site in plan.sites.items():
        role = site.role.title()
        values |= {f"{role}Region": name, f"{role}Bucket": site.storage.bucket}
    return [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in values.items()]
