"""Prometheus metrics of the node, written to a file for the node exporter: no port of its own.

No label ever holds an id, a name, a title or an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, write_to_textfile


class NodeMetrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(namespace="mammosono_node", registry=self._registry)
        self._associations = self._counter("associations", "Associations, by outcome.", "outcome")
        self._instances = self._counter(
            "instances", "Images that came: stored, repeated, or why they were left.", "outcome"
        )
        self._readings = self._counter(
            "readings", "Cases settled, by verdict or by the code of their problem.", "outcome"
        )
        self._objects = self._counter(
            "objects", "Objects sent to destinations: stored, later, never.", "outcome"
        )
        self._cases = self._gauge("cases", "Cases held, by status.", "status")
        self._held = self._gauge("instances_held", "Images held.")
        self._open = self._gauge("associations_open", "Associations that are open.")
        self._free = self._gauge("disk_free_bytes", "Room left on the node's disk.")
        self._written = self._gauge("written_seconds", "When this was written, since 1970.")

    def association(self, outcome: str) -> None:
        self._associations.labels(outcome).inc()

    def instance(self, outcome: str) -> None:
        self._instances.labels(outcome).inc()

    def settled(self, outcome: str) -> None:
        self._readings.labels(outcome).inc()

    def sent(self, outcome: str) -> None:
        self._objects.labels(outcome).inc()

    def write(
        self, file: Path, *, cases: Mapping[str, int], held: int, open_: int, free_bytes: int
    ) -> None:
        """Replace the file. Raises OSError."""
        for status, count in cases.items():
            self._cases.labels(status).set(count)
        self._held.set(held)
        self._open.set(open_)
        self._free.set(free_bytes)
        self._written.set_to_current_time()
        write_to_textfile(str(file), self._registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"mammosono_node_{name}", help, labels, registry=self._registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"mammosono_node_{name}", help, labels, registry=self._registry)
