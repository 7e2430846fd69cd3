"""Drive a box with 1, 4, 16 clients; and the bare reader beside it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.tools.benchmarks.load.figures import Level, Load, Overhead
from mammosono.tools.benchmarks.pair import Posted, draw_pair, read_pair

HEALTH_S = 3.0
PARTS = ("mammogram", "ultrasound")

Client = Callable[[], httpx.Client]
OnStep = Callable[[int, int], None]


def run_load(
    client: Client,
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    on_step: OnStep,
    bundle: Path | None = None,
) -> Load:
    """client: makes a client of the box, with its address and token.

    rounds: pairs that service and bare reader each read, in turns; 0 leaves the comparison out.
    Raises httpx.HTTPError if the box goes away.
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
    files = [(name, posted.data) for name, posted in zip(PARTS, pair, strict=True)]
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
    with client() as http, Reader.open(bundle or SHIPPED, Runtime(name="onnxruntime")) as reader:
        for round_ in range(rounds + 1):
            started = time.perf_counter()
            post(http, pair).raise_for_status()
            between = time.perf_counter()
            read_pair(reader, pair)
            ended = time.perf_counter()
            time.sleep(0.2)  # the box draws its pictures of the study after it has answered
            if round_:  # the first of each warms up
                service.append(1e3 * (between - started))
                bare.append(1e3 * (ended - between))
    return Overhead(tuple(service), tuple(bare))


def _level(client: Client, pair: Sequence[Posted], clients: int, seconds: float) -> Level:
    latencies: list[float] = []
    refused, errors = itertools.count(), itertools.count()
    started = time.perf_counter()

    def work() -> None:
        with client() as http:
            while time.perf_counter() < started + seconds:
                begun = time.perf_counter()
                response = post(http, pair)
                if response.status_code == 200:
                    latencies.append(time.perf_counter() - begun)
                elif response.status_code == 429:
                    next(refused)
                    time.sleep(float(response.headers.get("Retry-After", "1")))
                else:
                    next(errors)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Level(
        clients, time.perf_counter() - started, tuple(latencies), next(refused), next(errors)
    )
