"""The exporter: what was last measured, as Prometheus reads it; a scrape never waits for a measurement.

What cannot be measured now is absent, never a last good value: unknown is not healthy.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from deployments.ending import told_by
from deployments.measures import PARTS, Measure, Samples
from deployments.telemetry import written
from deployments.watchers import WATCHERS
from infra.platform.metrics import EXPORTER_PORT, MEASURED
from tasks.current import current_plan
from tasks.errors import DrError
from tasks.plan.plan import Plan

_log = logging.getLogger("dr.exporter")
ALL_PARTS: Mapping[str, Measure] = {**PARTS, **WATCHERS}
_LAST_SUCCESS = "dr_exporter_last_success_timestamp_seconds"
# A part that was not measured for so many of its intervals is unknown.
_STALE = 4


@dataclass(frozen=True)
class Measured:
    """One part, as last measured; its clocks in seconds."""

    samples: Samples
    at: float
    monotonic: float


class Exporter(Collector):
    """Measures every part in a thread of its own, and tells what is known."""

    def __init__(self, plan: Plan, parts: Mapping[str, Measure] = ALL_PARTS) -> None:
        self._plan = plan
        self._parts = parts
        self.known: dict[str, Measured] = {}

    def begin(self) -> None:
        """Measure again and again from now on."""
        for name in self._parts:
            threading.Thread(target=self._repeat, args=(name,), name=name, daemon=True).start()

    def measure(self, name: str) -> None:
        """Measure one part now.

        Raises:
            DrError: it cannot be measured; what was known of it goes stale.
        """
        samples = self._parts[name].ask(self._plan)
        unknown = samples.keys() - MEASURED.keys()
        if unknown:
            raise ValueError(f"not in the contract: {', '.join(sorted(unknown))}")
        self.known[name] = Measured(samples, time.time(), time.monotonic())

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Everything that is known and not stale."""
        yield _family(_LAST_SUCCESS, [({"part": name}, known.at) for name, known in self.known.items()])
        for name, known in list(self.known.items()):
            if time.monotonic() - known.monotonic <= _STALE * self._parts[name].every_s:
                for metric, samples in known.samples.items():
                    yield _family(metric, samples)

    def _repeat(self, name: str) -> None:
        failing = ""
        while True:
            began = time.monotonic()
            try:
                self.measure(name)
                failing = ""
            except DrError as error:
                if error.message != failing:
                    _log.warning("%s: %s", name, error)
                failing = error.message
            except Exception:  # noqa: BLE001 -- told with its traceback
                # One answer that nobody foresaw must not end what watches.
                _log.exception("%s cannot be measured", name)
            time.sleep(max(1.0, self._parts[name].every_s - (time.monotonic() - began)))


def serve(exporter: Exporter, address: str, port: int = EXPORTER_PORT) -> int:
    """Answer scrapes in a thread; returns the port.

    Args:
        exporter: what is told.
        address: where to listen: the control host's own address.
        port: 0 for any.
    """
    registry = CollectorRegistry()
    registry.register(exporter)
    server, _ = start_http_server(port, address, registry)
    return int(server.server_port)


@told_by("exporter")
def main() -> None:
    """Serve the plan's control host until the process is ended; exit code 2 where it must not."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    plan = current_plan()
    site = plan.site_of("dr")
    exporter = Exporter(plan)
    with written("exporter", plan, site):
        serve(exporter, plan.sites[site].addresses("control")[0])
        exporter.begin()
        threading.Event().wait()


def _family(metric: str, samples: Sequence[tuple[Mapping[str, str], float]]) -> GaugeMetricFamily:
    names = list(samples[0][0]) if samples else []
    family = GaugeMetricFamily(metric, MEASURED[metric], labels=names)
    for labels, value in samples:
        family.add_metric([labels[name] for name in names], value)
    return family


if __name__ == "__main__":
    main()
