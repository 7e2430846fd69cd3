"""Telemetry: metrics, readiness and log lines, without anybody's name in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from files import PATIENT
from prometheus_client.parser import text_string_to_metric_families
from service_bench import FakeReader, problem, running, study, until

from mammosono.appliance.studies.spool import Status
from mammosono.appliance.telemetry.logs import JsonLines, TextLines
from mammosono.appliance.telemetry.metrics import STEPS, Metrics
from mammosono.appliance.telemetry.sensors import meminfo_bytes, thermal_zones


def numbers(text: str) -> dict[str, float]:
    """Samples by name and labels, as `name{label}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(v for k, v in sample.labels.items() if k != "le")
            if "le" not in sample.labels:
                found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(FakeReader()) as client:
        yield client


def test_studies_are_counted_by_what_came_of_them(reader: FakeReader) -> None:
    with running(reader) as client:
        client.post("/v1/studies", **study())
        client.post("/v1/studies", files=[("mammogram", b"?")])
        reader.broken = True
        client.post("/v1/studies", files=study()["files"][:1])
        samples = numbers(client.get("/metrics").text)
    assert samples["mammosono_studies_total{positive}"] == 1
    assert samples["mammosono_studies_total{unsupported_format}"] == 1
    assert samples["mammosono_studies_total{engine_fault}"] == 1
    assert samples["mammosono_studies_held{done}"] == 1
    assert samples["mammosono_studies_held{failed}"] == 2
    assert samples["mammosono_studies_held{queued}"] == 0
    assert samples["mammosono_ready"] == 1
    assert samples["mammosono_disk_free_bytes"] > 0
    assert samples["process_resident_memory_bytes"] > 0


def test_answers_are_counted_by_their_status_those_of_the_middleware_too(
    reader: FakeReader,
) -> None:
    with running(reader, max_body_bytes=2000) as client:
        client.get("/v1/studies")
        client.get("/v1/studies/none")
        client.post("/v1/studies", content=b"x" * 2001)
        client.get("/v1/studies/none")
        counts = numbers(client.get("/metrics").text)
    assert counts["mammosono_requests_total{404}"] == 2
    assert counts["mammosono_requests_total{413}"] == 1
    assert counts["mammosono_requests_total{200}"] >= 2


def test_every_step_of_a_study_has_its_histogram(reader: FakeReader) -> None:
    with running(reader) as client:
        posted = client.post("/v1/studies", **study()).json()
        client.get(f"/v1/studies/{posted['id']}/images/0/original.png")  # drawn when asked for
        # The fake reader knows no network.
        for step in {"queue", "render", *STEPS} - {"denoise", "trunk", "heads", "masks"}:
            name = f"mammosono_step_seconds_count{{{step}}}"
            until(lambda name=name: numbers(client.get("/metrics").text).get(name) == 1)


def test_no_label_tells_who_or_which_study(client: httpx.Client) -> None:
    client.post("/v1/studies", **study(data={"study_id": "accession-4711"}))
    client.post("/v1/studies", files=[("ultrasound", (PATIENT, b"?"))])
    text = client.get("/metrics").text
    assert "4711" not in text
    assert PATIENT not in text


def test_two_applications_in_one_process_share_no_number() -> None:
    one, other = Metrics(), Metrics()
    one.failed("corrupt_image")
    assert b'mammosono_studies_total{outcome="corrupt_image"}' not in other.exposition({}, 0, True)


def test_the_sensors_are_read_as_a_jetson_shows_them(tmp_path: Path) -> None:
    for k, (name, value) in enumerate((("CPU-therm", "41500"), ("GPU-therm", "39000"))):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{k}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(name + "\n")
        (zone / "temp").write_text(value + "\n")
    off = tmp_path / "sys/class/thermal/thermal_zone2"
    off.mkdir()
    (off / "type").write_text("powered off\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 4059000 kB\nMemAvailable:  1024 kB\n")
    zones = {zone.name: zone.celsius for zone in thermal_zones(tmp_path)}
    assert zones == {"CPU-therm": 41.5, "GPU-therm": 39.0}
    assert meminfo_bytes(tmp_path, "MemAvailable") == 2**20
    samples = numbers(Metrics().exposition({Status.DONE: 3}, 5, False, tmp_path).decode())
    assert samples["mammosono_temperature_celsius{CPU-therm}"] == 41.5
    assert samples["mammosono_memory_available_bytes"] == 2**20
    assert (samples["mammosono_ready"], samples["mammosono_disk_free_bytes"]) == (0, 5)


def test_a_machine_without_sensors_tells_none(tmp_path: Path) -> None:
    assert thermal_zones(tmp_path) == []
    assert meminfo_bytes(tmp_path, "MemAvailable") is None


def test_readiness_names_what_is_well_and_what_is_not(reader: FakeReader) -> None:
    with running(reader, queue_length=1) as client:
        ready = client.get("/readyz").json()
        parts = dict.fromkeys(("worker", "reader", "disk", "queue", "audit"), "ok")
        access = "open to everybody: there are no tokens"
        assert ready == {"status": "ready", "checks": {**parts, "access": access}}
        reader.gate.clear()
        for name in "ab":
            client.post("/v1/studies?wait=0", **study(data={"study_id": name}))
            until(lambda: client.get("/v1/studies/a").json()["status"] == "reading")
        answer = problem(client.get("/readyz"), 429, "queue_full")
        assert answer["checks"]["disk"] == "ok"
        assert "1 studies wait" in answer["checks"]["queue"]


def test_a_disk_below_its_watermark_is_not_ready(reader: FakeReader) -> None:
    with running(reader, ready=False, min_free_bytes=2**62) as client:
        until(lambda: client.get("/readyz").json().get("code") == "storage_full")


def test_kserve_tools_find_health_and_model(client: httpx.Client) -> None:
    assert client.get("/v2").json()["name"] == "mammosono"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    model = client.get("/v1/model").json()
    metadata = client.get(f"/v2/models/{model['name']}").json()
    assert metadata["versions"] == [model["version"]]
    assert client.get(f"/v2/models/{model['name']}/ready").json()["ready"] is True
    problem(client.get("/v2/models/other"), 404, "not_found")


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("appliance", logging.INFO, "x.py", 1, message, arguments, None)


def test_log_lines_for_machines_are_one_object_each() -> None:
    line = json.loads(JsonLines(lambda: "r-1").format(record("read in %d ms\n", 5)))
    assert (line["message"], line["request"], line["level"]) == ("read in 5 ms\n", "r-1", "INFO")
    assert "request" not in json.loads(JsonLines(lambda: None).format(record("x")))


def test_an_exception_is_logged_by_its_kind_alone() -> None:
    line = record("failed")
    try:
        raise ValueError(PATIENT)
    except ValueError as error:
        line.exc_info = (type(error), error, error.__traceback__)
    text = JsonLines(lambda: None).format(line)
    assert "ValueError" in text
    assert PATIENT not in text


def test_log_lines_for_people_end_with_the_request() -> None:
    assert TextLines(lambda: "r-1").format(record("read")).endswith("INFO read [r-1]")
