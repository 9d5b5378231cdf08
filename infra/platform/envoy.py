"""An Envoy with the mesh's policy and no Istio: what istiod makes of the two manifests for a caller.

It stands beside the caller, on loopback, and sends its requests to the instances of the sites.

Source: Istio, pilot/pkg/networking/core: cluster_traffic_policy.go, route/route.go, route/retry/retry.go;
Envoy v3 API reference.
"""

from datetime import timedelta
from typing import Any

from infra.platform.rules import seconds
from infra.platform.surroundings import INSTANCE_COOKIE
from tasks.plan.mesh import CircuitBreaker, OutlierDetection, RetryPolicy
from tasks.plan.plan import Plan
from tasks.plan.ports import PORTS

# Where Istio's own sidecar listens.
_ADMIN_PORT, _PORT = 15000, 15001
_TYPE = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Istio's, where its manifests say nothing: no limit, and its mesh's connect timeout.
_UNLIMITED = 2**32 - 1
_CONNECT_TIMEOUT = timedelta(seconds=10)
_BALANCERS = {"least_connections": "LEAST_REQUEST", "round_robin": "ROUND_ROBIN", "random": "RANDOM"}
WEIGHT_KEY = "users"
"""Weights are read at run time: `POST /runtime_modify?users.SITE=WEIGHT&...` to the admin moves the users.

istiod sends whole routes anew instead, in which a site without users does not occur. An Envoy that starts
again has the weights of its file again.
"""


def envoy_config(plan: Plan) -> dict[str, Any]:
    """Envoy's bootstrap: one listener, and for each site that runs the service one cluster called like it."""
    instances = {name: site.addresses("service") for name, site in plan.sites.items()}
    serving = {site: addresses for site, addresses in instances.items() if addresses}
    active = plan.site_of("primary")
    weights = {site: 100 if site == active else 0 for site in serving}
    return {
        "admin": {"address": _address("127.0.0.1", _ADMIN_PORT)},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {
            "listeners": [_listener(plan, weights)],
            "clusters": [_cluster(plan, site, addresses) for site, addresses in serving.items()],
        },
    }


def _listener(plan: Plan, weights: dict[str, int]) -> dict[str, Any]:
    name = plan.mesh.host
    router = {"@type": f"{_TYPE}.filters.http.router.v3.Router"}
    hosts = [{"name": name, "domains": ["*"], "routes": [_route(plan, weights)]}]
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": hosts},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        "address": _address("127.0.0.1", _PORT),
        "filter_chains": [{"filters": chain}],
    }


def _route(plan: Plan, weights: dict[str, int]) -> dict[str, Any]:
    sticky = plan.high_availability.load_balancing.sticky_sessions
    action: dict[str, Any] = {
        "weighted_clusters": {
            "clusters": [{"name": site, "weight": weight} for site, weight in weights.items()],
            "runtime_key_prefix": WEIGHT_KEY,
        },
        "timeout": seconds(plan.mesh.retry_policy.timeout),
        "retry_policy": _retries(plan.mesh.retry_policy) | ({} if sticky else _ELSEWHERE),
    }
    if sticky:
        action["hash_policy"] = [{"cookie": {"name": INSTANCE_COOKIE, "ttl": "0s"}}]
    return {"match": {"prefix": "/"}, "route": action}


def _retries(policy: RetryPolicy) -> dict[str, Any]:
    """Tries after the first one, with Envoy's own exponential backoff: 25 ms at first, 250 ms at most."""
    return {
        "num_retries": policy.attempts,
        "per_try_timeout": seconds(policy.per_try_timeout),
        "retry_on": ",".join(policy.retry_on),
    }


# Another try goes to another instance, if five draws find one; not where a user is kept at an instance.
_ELSEWHERE = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 5,
}


def _cluster(plan: Plan, site: str, addresses: list[str]) -> dict[str, Any]:
    breaker, balancing = plan.mesh.circuit_breaker, plan.high_availability.load_balancing
    [port] = PORTS["service"]
    endpoints = [{"endpoint": {"address": _address(address, port)}} for address in addresses]
    return {
        "name": site,
        "type": "STATIC",
        "connect_timeout": seconds(_CONNECT_TIMEOUT),
        "lb_policy": "RING_HASH" if balancing.sticky_sessions else _BALANCERS[balancing.algorithm],
        # Istio switches Envoy's panic mode off wherever outliers are ejected: an instance that is out gets
        # nobody, even where no other is left.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "load_assignment": {"cluster_name": site, "endpoints": [{"lb_endpoints": endpoints}]},
        "outlier_detection": _outlier_detection(breaker.outlier_detection),
        **_connection_pool(breaker),
    }


def _outlier_detection(outliers: OutlierDetection) -> dict[str, Any]:
    return {
        "consecutive_5xx": outliers.consecutive_errors,
        "enforcing_consecutive_5xx": 100,
        # Istio knows this way only.
        "enforcing_success_rate": 0,
        "interval": seconds(outliers.interval),
        "base_ejection_time": seconds(outliers.base_ejection_time),
        "max_ejection_percent": int(outliers.max_ejection * 100),
    }


def _connection_pool(breaker: CircuitBreaker) -> dict[str, Any]:
    pool = breaker.connection_pool
    limits = {
        "max_connections": pool.max_connections,
        "max_pending_requests": pool.http1_max_pending_requests,
        "max_requests": _UNLIMITED,
        "max_retries": _UNLIMITED,
        "track_remaining": True,
    }
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": pool.max_requests_per_connection},
    }
    return {
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
    }


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
