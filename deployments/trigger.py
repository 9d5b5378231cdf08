"""Start a deployment through Prefect's REST API and wait for its run, without the second its import takes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tasks.clients.http import request
from tasks.errors import Permanent, Transient

_TIMEOUT = httpx.Timeout(10.0)
RETRY_SECONDS = 0.5
FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


@dataclass(frozen=True)
class Api:
    """A Prefect server.

    Attributes:
        url: the API's base, ending in /api.
        password: "user:password".
    """

    url: str
    password: str = field(repr=False)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Any:
        """Make one request and return what the server answers.

        Raises:
            Transient: it does not answer, or answers that it cannot now.
            Permanent: it refuses.
        """
        user, _, password = self.password.partition(":")
        try:
            answer = request(method, self.url + path, json=body, auth=(user, password), timeout=_TIMEOUT)
        except httpx.TransportError as error:
            raise Transient("the Prefect API does not answer", f"{self.url}: {error!r}") from error
        if answer.status_code >= 500 or answer.status_code in {408, 429}:
            raise Transient("the Prefect API cannot answer now", f"{path}: HTTP {answer.status_code}")
        if answer.is_error:
            raise Permanent(
                "the Prefect API refuses", f"{path}: HTTP {answer.status_code} {answer.text[:500]}", _HINT
            )
        try:
            return answer.json() if answer.content else None
        except ValueError as error:  # some other server's, or a proxy's page
            raise Transient("the Prefect API does not answer as one", f"{self.url}{path}") from error


_HINT = "see its words; `dr deploy` registers the deployments, `dr run FLOW` needs no server"


def trigger(
    api: Api, deployment: str, parameters: Mapping[str, Any], idempotency_key: str, timeout: float = 60.0
) -> str:
    """Start one run of a deployment.

    Args:
        api: the server.
        deployment: the deployment's name, which is its flow's name too: "fail-over".
        parameters: the flow's parameters.
        idempotency_key: the same key never starts a second run: the first one is returned.
        timeout: seconds until it gives up on a server that does not answer.

    Returns:
        The flow run's id.

    Raises:
        Transient: the server did not answer in time.
        Permanent: there is no such deployment, or the parameters do not fit the flow.
    """
    body = {"parameters": dict(parameters), "idempotency_key": idempotency_key}
    deadline = time.monotonic() + timeout
    while True:
        try:
            found = api.call("GET", f"/deployments/name/{deployment}/{deployment}")
            return str(api.call("POST", f"/deployments/{found['id']}/create_flow_run", body)["id"])
        except Transient:
            if time.monotonic() > deadline:
                raise
        time.sleep(RETRY_SECONDS)


def wait_for(api: Api, flow_run_id: str, timeout: float) -> dict[str, Any]:
    """Wait until a run has ended, through restarts of the server.

    Returns:
        Its last state: `type`, `name`, `message`.

    Raises:
        Transient: it has not ended within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    last = "not seen"
    while time.monotonic() < deadline:
        try:
            state: dict[str, Any] = api.call("GET", f"/flow_runs/{flow_run_id}")["state"]
        except Transient as error:
            last = str(error)
        else:
            if state["type"] in FINAL_STATES:
                return state
            last = state["name"]
        time.sleep(RETRY_SECONDS)
    raise Transient(f"the run has not ended within {timeout:g} s", f"{flow_run_id}: {last}")
