"""Load on a running appliance: time from post to result, refusals, the bare reader beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Group, RenderableType

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.reader import Reader
from mammosono.engines.options import EngineOptions
from mammosono.tools import tables
from mammosono.tools.benchmarks.workload import Posted, draw_pair, read_pair
from mammosono.tools.progress import OnCount


@dataclass(frozen=True, slots=True)
class Level:
    """Post-to-result with so many clients, each posting its next pair when it has its answer.

    seconds: of the level. latencies_s: of the pairs that were read. rejected: answers of 429.
    errors: anything else than 429 and 200 with a result.
    """

    clients: int
    seconds: float
    latencies_s: tuple[float, ...]
    rejected: int
    errors: int

    @property
    def pairs_per_minute(self) -> float:
        return 60 * len(self.latencies_s) / self.seconds

    @property
    def rejected_share(self) -> float:
        answers = len(self.latencies_s) + self.rejected + self.errors
        return self.rejected / answers if answers else 0.0

    def percentile(self, q: float) -> float:
        """Seconds; NaN if no pair was read."""
        return float(np.percentile(self.latencies_s, q)) if self.latencies_s else float("nan")


@dataclass(frozen=True, slots=True)
class Overhead:
    """The same pair through the service and through a bare reader, in turns. Milliseconds."""

    service_ms: tuple[float, ...]
    bare_ms: tuple[float, ...]

    @property
    def share(self) -> float:
        """What the service adds, as a share of the bare reader's time; of the medians."""
        return float(np.median(self.service_ms) / np.median(self.bare_ms)) - 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """health_per_second: answers of /healthz, one client after another."""

    health_per_second: float
    levels: Sequence[Level]
    overhead: Overhead | None

    @property
    def sound(self) -> bool:
        """Whether at each level pairs were read, and none ended in an error."""
        return all(level.latencies_s and not level.errors for level in self.levels)


HEALTH_S = 3.0
ERROR_S = 0.1
"""Pause of a client after an error: refusals come faster than readings."""
PERCENTILES = (50, 95, 99)

Client = Callable[[], httpx.Client]


def run_load(
    client: Client,
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    on_step: OnCount,
    bundle: Path | None = None,
) -> Load:
    """client: makes a client of the appliance, with its address and token.

    rounds: pairs that service and bare reader each read, in turns; 0 leaves the comparison out.
    Raises httpx.HTTPError if the appliance goes away.
    """
    pair, steps = draw_pair(), len(clients) + 2
    health = _health(client)
    on_step(1, steps)
    overhead = _overhead(client, pair, rounds, bundle) if rounds else None
    on_step(2, steps)
    levels = []
    for done, count in enumerate(clients, start=3):
        levels.append(_level(client, pair, count, seconds))
        on_step(done, steps)
    return Load(health, levels, overhead)


def post(client: httpx.Client, pair: Sequence[Posted]) -> httpx.Response:
    files = [(MODALITIES[posted.modality].part, posted.data) for posted in pair]
    return client.post("/v1/studies?wait=120", files=files)


def _health(client: Client) -> float:
    count, started = 0, time.perf_counter()
    with client() as http:
        while time.perf_counter() < started + HEALTH_S:
            http.get("/healthz").raise_for_status()
            count += 1
    return count / (time.perf_counter() - started)


def _overhead(
    client: Client, pair: tuple[Posted, ...], rounds: int, bundle: Path | None
) -> Overhead:
    service, bare = [], []
    with (
        client() as http,
        Reader.open(bundle or SHIPPED, EngineOptions(runtime="onnxruntime")) as reader,
    ):
        for round_ in range(rounds + 1):
            started = time.perf_counter()
            post(http, pair).raise_for_status()
            between = time.perf_counter()
            read_pair(reader, pair)
            ended = time.perf_counter()
            time.sleep(0.2)  # the study's pictures are drawn after the answer
            if round_:  # the first of each warms up
                service.append(1e3 * (between - started))
                bare.append(1e3 * (ended - between))
    return Overhead(tuple(service), tuple(bare))


def _is_result(response: httpx.Response) -> bool:
    """Not what a proxy answers in the appliance's place."""
    try:
        document = response.json()
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("status") == "done"


def _level(client: Client, pair: Sequence[Posted], clients: int, seconds: float) -> Level:
    started = time.perf_counter()

    def work() -> tuple[list[float], int, int]:
        """One client's latencies, rejections and errors."""
        latencies: list[float] = []
        rejected = errors = 0
        with client() as http:
            while time.perf_counter() < started + seconds:
                begun = time.perf_counter()
                response = post(http, pair)
                if response.status_code == 200 and _is_result(response):
                    latencies.append(time.perf_counter() - begun)
                elif response.status_code == 429:
                    rejected += 1
                    after = response.headers.get("Retry-After", "")
                    time.sleep(min(float(after) if after.isdecimal() else 1.0, seconds))
                else:
                    errors += 1
                    time.sleep(ERROR_S)
        return latencies, rejected, errors

    with ThreadPoolExecutor(clients) as pool:
        workers = [pool.submit(work) for _ in range(clients)]
        # A client that lost the appliance says so here, rather than to have measured nothing.
        latencies, rejected, errors = zip(*(each.result() for each in workers), strict=True)
    seconds = time.perf_counter() - started
    return Level(clients, seconds, tuple(chain(*latencies)), sum(rejected), sum(errors))


def as_rich(load: Load) -> RenderableType:
    rows = [
        ["clients", "pairs", "pairs/min", *(f"p{q} s" for q in PERCENTILES), "rejected", "errors"]
    ]
    for level in load.levels:
        latencies = (f"{level.percentile(q):.2f}" for q in PERCENTILES)
        read, rate = len(level.latencies_s), f"{level.pairs_per_minute:.0f}"
        answers = [f"{level.rejected_share:.0%}", f"{level.errors}"]
        rows.append([f"{level.clients}", f"{read}", rate, *latencies, *answers])
    lines: list[RenderableType] = [
        f"/healthz: {load.health_per_second:.0f} answers a second",
        tables.terminal(rows, labels=0),
    ]
    if load.overhead is not None:
        service, bare = (np.median(ms) for ms in (load.overhead.service_ms, load.overhead.bare_ms))
        lines.append(
            f"A pair from post to result {service:.0f} ms, by the bare reader {bare:.0f} ms: "
            f"the service adds {load.overhead.share:+.1%} "
            f"(medians of {len(load.overhead.service_ms)}, in turns)."
        )
    return Group(*lines)


def as_dict(load: Load) -> dict[str, Any]:
    return {
        "schema": 1,
        "health_per_second": load.health_per_second,
        "levels": [
            {
                "clients": level.clients,
                "seconds": level.seconds,
                "pairs": len(level.latencies_s),
                "pairs_per_minute": level.pairs_per_minute,
                **{f"p{q}_s": level.percentile(q) for q in PERCENTILES if level.latencies_s},
                "rejected_share": level.rejected_share,
                "errors": level.errors,
            }
            for level in load.levels
        ],
        "overhead": load.overhead and {**tables.plain(load.overhead), "share": load.overhead.share},
    }
