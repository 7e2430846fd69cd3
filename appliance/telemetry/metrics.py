"""Prometheus metrics of the service. No label ever holds an id, a name or a path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from mammosono.appliance.studies.spool import Status, Study
from mammosono.appliance.telemetry.sensors import meminfo_bytes, thermal_zones

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
STEPS = ("decode", "denoise", "trunk", "heads", "masks", "total")
"""Steps that a reading reports; `queue` and `render` are measured here."""

PARTS = ("worker", "reader", "disk", "queue", "audit", "access")
"""Of the service, as /readyz names them."""


class Metrics:
    """One registry of its own: two applications in one process do not share a number."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._steps = Histogram(
            "mammosono_step_seconds",
            "Time of a study's steps.",
            ["step"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._studies = self._counter(
            "studies", "Studies settled, by verdict or by the code of their problem.", "outcome"
        )
        self._images = self._counter(
            "images_unread", "Images left out of a study that was read, by why.", "code"
        )
        self._requests = self._counter("requests", "Answers, by status.", "status")
        self._lost = self._counter("readers_lost", "Readers that died or hung over a study.")
        self._tasks_failed = self._counter(
            "background_tasks_failed", "Parts of the service that ended; it is then started again."
        )
        self._held = self._gauge("studies_held", "Studies in the spool.", "status")
        self._ready = self._gauge("ready", "1 if a study can be read now.")
        self._well = self._gauge(
            "part_ready", "1 if nothing is wrong with it; /readyz says what.", "part"
        )
        self._free = self._gauge("disk_free_bytes", "Room left on the spool's disk.")
        self._memory = self._gauge("memory_available_bytes", "What programs may still take.")
        self._heat = self._gauge("temperature_celsius", "Of the thermal zones.", "zone")

    def claimed(self, waited_s: float) -> None:
        self._steps.labels("queue").observe(max(waited_s, 0.0))

    def read(
        self,
        study: Study,
        verdict: str,
        timings_ms: Mapping[str, float],
        unread: Collection[str] = (),
    ) -> None:
        """unread: the codes of its images that could not be read."""
        self._studies.labels(verdict).inc()
        for code in unread:
            self._images.labels(code).inc()
        for step in STEPS:
            if step in timings_ms:
                self._steps.labels(step).observe(timings_ms[step] / 1000)

    def drawn(self, seconds: float) -> None:
        self._steps.labels("render").observe(seconds)

    def failed(self, code: str) -> None:
        self._studies.labels(code).inc()

    def lost(self) -> None:
        self._lost.inc()

    def task_failed(self) -> None:
        self._tasks_failed.inc()

    def answered(self, status: int) -> None:
        self._requests.labels(str(status)).inc()

    def exposition(
        self,
        counts: Mapping[Status, int],
        free_bytes: int,
        ready: bool,
        root: Path = Path("/"),
        *,
        impeded: Collection[str] = (),
    ) -> bytes:
        """The text that Prometheus fetches. root: where /proc and /sys are looked for.
        impeded: the parts of PARTS with which something is wrong."""
        for status in Status:
            self._held.labels(status.value).set(counts.get(status, 0))
        self._free.set(free_bytes)
        self._ready.set(ready)
        for part in PARTS:
            self._well.labels(part).set(part not in impeded)
        memory = meminfo_bytes(root, "MemAvailable")
        if memory is not None:
            self._memory.set(memory)
        for zone in thermal_zones(root):
            self._heat.labels(zone.name).set(zone.celsius)
        return generate_latest(self.registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"mammosono_{name}", help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"mammosono_{name}", help, labels, registry=self.registry)
