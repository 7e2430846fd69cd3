"""The contract of the HTTP interface, with a reader that needs no network."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from service_bench import (
    FakeReader,
    ThreadReader,
    png,
    problem,
    running,
    scan,
    serving,
    study,
    until,
)

from mammosono import appliance
from mammosono.appliance.errors import ModelUnavailable, UnknownStudy
from mammosono.appliance.http import schemas
from mammosono.appliance.http.app import create_app
from mammosono.appliance.http.server import make_server
from mammosono.appliance.http.study_routes import PictureResponse
from mammosono.appliance.output.document import Model, Result
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.queue import StudyQueue
from mammosono.appliance.studies.spool import Spool, Study


def decoded(data: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One appliance for the tests that leave nothing behind."""
    with running(FakeReader()) as client:
        yield client


@pytest.fixture(scope="module")
def done(client: httpx.Client) -> str:
    """Path of a study that was read."""
    return "/v1/studies/" + client.post("/v1/studies", **study()).json()["id"]


def test_a_pair_is_answered_with_the_result_document(reader: FakeReader) -> None:
    with running(reader) as client:
        response = client.post("/v1/studies", **study())
        assert response.status_code == 200
        result = Result.model_validate_json(response.content, strict=False)
        assert result.verdict == "positive"
        assert [image.modality for image in result.images] == ["MG", "US"]
        assert [image.sha256 for image in result.images] == [
            hashlib.sha256(png(seed)).hexdigest() for seed in (1, 2)
        ]
        assert not result.incomplete
        again = client.get(f"/v1/studies/{result.id}")
        assert (again.status_code, again.content) == (200, response.content)
        assert again.headers["cache-control"] == "no-store"


def test_a_study_of_one_modality_is_incomplete_but_read(reader: FakeReader) -> None:
    with running(reader) as client:
        result = client.post("/v1/studies", files=[("ultrasound", png())]).json()
        assert (result["verdict"], result["incomplete"]) == ("indeterminate", True)


def test_ids_made_by_the_appliance_are_long_and_never_the_same(reader: FakeReader) -> None:
    with running(reader) as client:
        ids = {client.post("/v1/studies", **study()).json()["id"] for _ in range(3)}
        assert len(ids) == 3
        assert all(len(study_id) >= 22 for study_id in ids)


def test_the_same_images_under_the_same_id_are_read_once(reader: FakeReader) -> None:
    with running(reader) as client:
        posts = [client.post("/v1/studies", **study(data={"study_id": "s-1"})) for _ in range(2)]
        # The order in which parts of different names arrive does not make another study.
        swapped = [("ultrasound", png(2)), ("mammogram", png(1))]
        posts.append(client.post("/v1/studies", files=swapped, data={"study_id": "s-1"}))
        assert {post.status_code for post in posts} == {200}
        assert len({post.content for post in posts}) == 1
        assert reader.readings == 1


def test_other_images_under_a_used_id_are_a_conflict(reader: FakeReader) -> None:
    others = [
        [("mammogram", png(1)), ("ultrasound", png(3))],
        [("mammogram", png(2)), ("ultrasound", png(1))],  # the same bytes, other slots
        [("mammogram", png(1))],
    ]
    with running(reader) as client:
        first = client.post("/v1/studies", **study(data={"study_id": "s-1"}))
        for files in others:
            post = client.post("/v1/studies", files=files, data={"study_id": "s-1"})
            problem(post, 409, "study_conflict")
        assert client.get("/v1/studies/s-1").content == first.content


def test_an_id_whose_images_were_refused_may_be_used_again(reader: FakeReader) -> None:
    bad = {"files": [("mammogram", b"not an image")], "data": {"study_id": "s-1"}}
    with running(reader) as client:
        problem(client.post("/v1/studies", **bad), 415, "unsupported_format")
        problem(client.post("/v1/studies", **bad), 415, "unsupported_format")
        assert client.post("/v1/studies", **study(data={"study_id": "s-1"})).status_code == 200
        problem(client.post("/v1/studies", **bad), 409, "study_conflict")


def test_a_reading_that_failed_is_tried_again_when_posted_again(reader: FakeReader) -> None:
    with running(reader) as client:
        reader.broken = True
        refused = client.post("/v1/studies", **study(data={"study_id": "s-1"}))
        assert problem(refused, 503, "engine_fault")["instance"] == "/v1/studies/s-1"
        failed = schemas.Failed.model_validate(client.get("/v1/studies/s-1").json())
        assert failed.problem.code == "engine_fault"
        problem(client.get("/v1/studies/s-1/images/0/overlay.png"), 409, "study_not_read")
        reader.broken = False
        assert client.post("/v1/studies", **study(data={"study_id": "s-1"})).status_code == 200


def test_a_study_not_read_in_time_is_answered_202_and_read_all_the_same(
    reader: FakeReader,
) -> None:
    reader.gate.clear()
    with running(reader) as client:
        response = client.post("/v1/studies?wait=0", **study())
        assert response.status_code == 202
        pending = schemas.Pending.model_validate(response.json())
        place = response.headers["location"]
        assert place == f"/v1/studies/{pending.id}"
        until(lambda: client.get(place).json() == {"id": pending.id, "status": "reading"})
        problem(client.get(f"{place}/images/0/original.png"), 409, "study_not_read")
        reader.gate.set()
        until(lambda: client.get(place).json()["status"] == "done")
        Result.model_validate(client.get(place).json())


def test_a_refused_image_names_its_part_and_is_told_to_who_polls(reader: FakeReader) -> None:
    files = [("mammogram", b"")]
    with running(reader) as client:
        place = client.post("/v1/studies?wait=0", files=files).headers["location"]
        until(lambda: client.get(place).json()["status"] == "failed")
        failed = schemas.Failed.model_validate(client.get(place).json())
        assert (failed.problem.code, failed.problem.status) == ("empty_file", 422)
        assert failed.problem.detail.startswith("mammogram 1: ")


def test_a_full_queue_answers_429_and_keeps_what_it_took(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader, queue_length=2) as client:

        def post(name: str) -> int:
            response = client.post("/v1/studies?wait=0", **study(data={"study_id": name}))
            if response.status_code == 429:
                problem(response, 429, "queue_full")
                assert int(response.headers["retry-after"]) >= 1
            return response.status_code

        assert post("read") == 202
        until(lambda: client.get("/v1/studies/read").json()["status"] == "reading")
        assert [post("a"), post("b"), post("c"), post("d")] == [202, 202, 429, 429]
        assert post("a") == 202  # posted before: nothing new to queue
        problem(client.get("/v1/studies/c"), 404, "unknown_study")
        reader.gate.set()
        for name in ("read", "a", "b"):
            until(lambda name=name: client.get(f"/v1/studies/{name}").json()["status"] == "done")
        assert client.post("/v1/studies", **study(data={"study_id": "c"})).status_code == 200


def test_a_deleted_study_is_gone_and_one_that_waits_is_not_read(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader) as client:
        for name in ("read", "waits"):
            client.post("/v1/studies?wait=0", **study(data={"study_id": name}))
        until(lambda: client.get("/v1/studies/read").json()["status"] == "reading")
        for name in ("read", "waits"):
            assert client.delete(f"/v1/studies/{name}").status_code == 204
            problem(client.get(f"/v1/studies/{name}"), 404, "unknown_study")
            problem(client.delete(f"/v1/studies/{name}"), 404, "unknown_study")
        reader.gate.set()
        client.post("/v1/studies", **study(data={"study_id": "next"}))
        listed = [entry["id"] for entry in client.get("/v1/studies").json()["studies"]]
        assert (listed, reader.readings) == (["next"], 2)


def test_a_study_deleted_and_posted_again_is_read_anew(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader) as client:
        for files in (study()["files"], [("mammogram", png(7))], [("mammogram", png(8))]):
            client.delete("/v1/studies/s")
            post = client.post("/v1/studies?wait=0", files=files, data={"study_id": "s"})
            assert post.status_code == 202
        reader.gate.set()
        until(lambda: client.get("/v1/studies/s").json()["status"] == "done")
        (image,) = client.get("/v1/studies/s").json()["images"]
        assert image["sha256"] == hashlib.sha256(png(8)).hexdigest()


def test_who_waits_for_a_study_that_is_deleted_is_told_so(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader) as client:
        answers = []
        posting = threading.Thread(
            target=lambda: answers.append(
                client.post("/v1/studies", **study(data={"study_id": "s"}))
            )
        )
        posting.start()
        until(lambda: client.get("/v1/studies/s").status_code == 200)
        client.delete("/v1/studies/s")
        posting.join(60)
        problem(answers[0], 404, "unknown_study")
        reader.gate.set()


def test_a_study_is_waited_for_by_its_id_without_another_post(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader) as client:
        place = client.post("/v1/studies?wait=0", **study()).headers["location"]
        until(lambda: client.get(place).json()["status"] == "reading")
        begun = time.monotonic()
        assert client.get(f"{place}?wait=0.3").json()["status"] == "reading"
        assert time.monotonic() - begun >= 0.3
        threading.Timer(0.3, reader.gate.set).start()
        assert client.get(f"{place}?wait=60").json()["status"] == "done"
        assert client.get(f"{place}?wait=60").json()["status"] == "done"  # and then at once
        for wait in ("-1", "nan", "soon"):
            problem(client.get(f"{place}?wait={wait}"), 422, "invalid_request")


def test_no_wait_is_longer_than_the_appliance_permits(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader, max_wait_s=0.1) as client:
        place = client.post("/v1/studies", **study()).headers["location"]
        for wait in ("1e9", "inf"):
            assert client.get(f"{place}?wait={wait}", timeout=30).json()["status"] != "done"


def test_who_waits_by_id_is_told_when_the_study_is_deleted_and_gets_no_later_one(
    reader: FakeReader,
) -> None:
    reader.gate.clear()
    with running(reader) as client:
        client.post("/v1/studies?wait=0", **study(data={"study_id": "s"}))
        answers: list[httpx.Response] = []
        waiting = threading.Thread(
            target=lambda: answers.append(client.get("/v1/studies/s?wait=60"))
        )
        waiting.start()
        time.sleep(0.3)
        client.delete("/v1/studies/s")
        client.post("/v1/studies?wait=0", **study(data={"study_id": "s"}))
        waiting.join(60)
        problem(answers[0], 404, "unknown_study")


@pytest.mark.parametrize("resisting", ["pictures", "file"])
def test_a_study_that_is_not_deleted_whole_is_no_204_and_the_audit_log_says_so(
    reader: FakeReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resisting: str
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(30, "Read-only file system")

    def outcomes() -> list[str]:
        lines = (tmp_path / "audit.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        identifications = [event["EventIdentification"] for event in events]
        deletions = [one for one in identifications if one["EventID"]["csd-code"] == "110105"]
        return [one["EventOutcomeIndicator"] for one in deletions]

    with running(reader, state=tmp_path) as client:
        client.post("/v1/studies", **study(data={"study_id": "s"}))
        client.get("/v1/studies/s/images/0/mask.png")
        with monkeypatch.context() as patched:
            if resisting == "pictures":
                patched.setattr("shutil.rmtree", refuse)
            else:
                patched.setattr(Path, "unlink", refuse)
            answer = problem(client.delete("/v1/studies/s"), 503, "storage_failed")
            assert answer["detail"].startswith("Not all of the study is deleted")
        assert outcomes() == ["4"]
        again = client.delete("/v1/studies/s")
        if resisting == "pictures":
            assert again.status_code == 204
            assert outcomes() == ["4", "0"]
        else:  # the study is gone; its files go as soon as the disk permits
            problem(again, 404, "unknown_study")


def test_the_list_tells_status_and_verdict_newest_first(reader: FakeReader) -> None:
    with running(reader) as client:
        client.post("/v1/studies", **study(data={"study_id": "old"}))
        client.post("/v1/studies", files=[("mammogram", b"?")], data={"study_id": "bad"})
        listed = schemas.StudyList.model_validate(client.get("/v1/studies").json())
        assert [(s.id, s.status, s.verdict) for s in listed.studies] == [
            ("bad", "failed", None),
            ("old", "done", "positive"),
        ]


def test_the_pictures_have_the_size_of_the_image_as_posted(client: httpx.Client, done: str) -> None:
    pictures = {}
    for kind in ("original", "denoised", "overlay", "mask"):
        response = client.get(f"{done}/images/0/{kind}.png")
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        pictures[kind] = decoded(response.content)
    assert np.array_equal(pictures["original"], scan(1))
    assert pictures["denoised"].shape == (96, 80)
    assert not np.array_equal(pictures["denoised"], pictures["original"])
    assert pictures["overlay"].shape == (96, 80, 3)
    assert set(np.unique(pictures["mask"])) == {0, 255}


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        ("2/overlay.png", "unknown_image"),
        ("-1/overlay.png", "unknown_image"),
        ("99999999999999999999/overlay.png", "unknown_image"),
        ("0/secret.png", "not_found"),
        ("x/overlay.png", "not_found"),
        ("0/overlay.jpg", "not_found"),
    ],
)
def test_a_picture_that_does_not_exist_is_not_found(
    client: httpx.Client, done: str, picture: str, code: str
) -> None:
    problem(client.get(f"{done}/images/{picture}"), 404, code)


def test_the_model_says_what_it_is(client: httpx.Client) -> None:
    document = client.get("/v1/model").json()
    assert document.pop("networks") == {"MG": "film", "US": "probe"}
    assert document.pop("input_sizes") == {"MG": [640, 448], "US": [448, 640]}
    model = Model.model_validate(document)
    assert (model.name, model.operating_points) == ("compact", {"MG": 0.41, "US": 0.47})


def test_the_appliance_is_alive_before_its_model_is_loaded_and_takes_studies_meanwhile(
    reader: FakeReader,
) -> None:
    loaded = threading.Event()

    def open_reader() -> FakeReader:
        assert loaded.wait(60)
        return reader

    with serving(open_reader) as client:
        assert client.get("/healthz").status_code == 200
        assert "loaded" in problem(client.get("/readyz"), 503, "engine_unavailable")["detail"]
        problem(client.get("/v1/model"), 503, "engine_unavailable")
        place = client.post("/v1/studies?wait=0", **study()).headers["location"]
        loaded.set()
        until(lambda: client.get("/readyz").status_code == 200)
        until(lambda: client.get(place).json()["status"] == "done")
    assert reader.closed


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ModelUnavailable("A stage of the bundle is damaged."), "A stage of the bundle is damaged"),
        (OSError("/secret/path"), "The model could not be opened"),
    ],
)
def test_without_a_model_the_appliance_lives_and_says_why_it_cannot_read(
    failure: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    def open_reader() -> FakeReader:
        raise failure

    with serving(open_reader) as client:
        until(lambda: "loaded;" not in client.get("/readyz").json()["detail"])
        assert client.get("/healthz").status_code == 200
        for response in (
            client.get("/readyz"),
            client.get("/v1/model"),
            client.post("/v1/studies", **study()),
        ):
            detail = problem(response, 503, "engine_unavailable")["detail"]
            assert reason in detail
            assert "secret" not in detail
        assert client.get("/v1/studies").json()["studies"] == []
    assert "secret" not in caplog.text


def test_studies_taken_while_loading_are_kept_for_the_day_the_model_can_be_loaded(
    reader: FakeReader, tmp_path: Path
) -> None:
    given_up = threading.Event()

    def open_reader() -> FakeReader:
        assert given_up.wait(60)
        raise ModelUnavailable("A stage of the bundle is damaged.")

    with serving(open_reader, state=tmp_path) as client:
        place = client.post("/v1/studies?wait=0", **study()).headers["location"]
        given_up.set()
        until(lambda: "damaged" in client.get("/readyz").json()["detail"])
        assert client.get(place).json()["status"] == "queued"
    with running(reader, state=tmp_path) as client:
        until(lambda: client.get(place).json()["status"] == "done")


@pytest.mark.parametrize("damage", [png(7), b"", None], ids=["another", "emptied", "gone"])
def test_a_posted_file_that_changed_on_the_disk_is_never_read_and_can_be_posted_again(
    reader: FakeReader, tmp_path: Path, damage: bytes | None
) -> None:
    with running(reader, state=tmp_path) as client:
        reader.gate.clear()
        client.post("/v1/studies?wait=0", **study())
        until(lambda: client.get("/v1/studies?status=reading").json()["studies"] != [])
        mine = {"files": [("ultrasound", png(3))], "data": {"study_id": "mine"}}
        assert client.post("/v1/studies?wait=0", **mine).status_code == 202
        sha256 = hashlib.sha256(png(3)).hexdigest()
        path = tmp_path / "spool" / "uploads" / sha256[:2] / sha256
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        reader.gate.set()
        until(lambda: client.get("/v1/studies/mine").json()["status"] == "failed")
        refused = client.get("/v1/studies/mine").json()["problem"]
        assert (refused["status"], refused["code"]) == (503, "storage_damaged")
        assert refused["detail"].startswith("ultrasound 1: ")
        again = client.post("/v1/studies", **mine)
        assert again.json()["images"][0]["sha256"] == sha256


def test_a_service_of_which_a_part_has_ended_says_so_and_ends_to_be_started_again(
    reader: FakeReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Spool) -> None:
        raise AttributeError("of tomorrow")

    monkeypatch.setattr(Spool, "claim", fail)
    monkeypatch.setattr("mammosono.appliance.http.server.LAST_WORDS_S", 2.0)
    settings = Settings(port=0, state=tmp_path)
    server = make_server(create_app(settings, ThreadReader(lambda: reader)), settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    host, port = server.servers[0].sockets[0].getsockname()
    until(lambda: server.failed)
    said = problem(httpx.get(f"http://{host}:{port}/readyz"), 503, "engine_unavailable")
    assert "starts again" in said["checks"]["worker"]
    thread.join(60)
    assert not thread.is_alive()


def test_a_picture_deleted_after_it_was_found_is_not_found(
    reader: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = StudyQueue.picture

    async def find_and_lose(queue: StudyQueue, of: Study, index: int, name: str) -> Path:
        path = await find(queue, of, index, name)
        path.unlink()
        return path

    with running(reader) as client:
        client.post("/v1/studies", **study(data={"study_id": "a"}))
        picture = "/v1/studies/a/images/0/mask.png"
        until(lambda: client.get(picture).status_code == 200)
        monkeypatch.setattr(StudyQueue, "picture", find_and_lose)
        problem(client.get(picture), 404, "unknown_study")


def test_a_picture_deleted_before_its_file_is_opened_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "mask_0.png"
    path.write_bytes(png())
    response = PictureResponse(path, stat_result=path.stat())
    path.unlink()
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.4"}}
    with pytest.raises(UnknownStudy):
        asyncio.run(response(scope, receive, send))
    assert sent == []


def test_an_unexpected_failure_tells_the_client_an_id_and_the_log_a_place_but_no_content(
    reader: FakeReader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leak(*_: object) -> None:
        raise KeyError("Doe^Jane in /var/lib")

    with running(reader) as client:
        monkeypatch.setattr(reader, "read", leak)
        read = client.post("/v1/studies", **study(data={"study_id": "Jane"}))
        monkeypatch.setattr("mammosono.appliance.studies.queue.StudyQueue.delete", leak)
        route = client.delete("/v1/studies/Jane")
        for response in (read, route):
            document = problem(response, 500, "internal")
            assert document["instance"].startswith("urn:uuid:")
            assert document["instance"] in caplog.text
            assert "Doe" not in response.text
        assert "KeyError at test_service_http:" in caplog.text
        for secret in ("Doe", "Jane", "/var/lib", "Traceback"):
            assert secret not in caplog.text
        assert client.get("/healthz").status_code == 200


def test_nothing_is_logged_of_who_and_which_file(
    reader: FakeReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mammosono")
    name = "../../Doe^Jane\r\n\u202e.png"
    with running(reader) as client:
        for data in (png(), b"not an image"):
            client.post(
                "/v1/studies",
                files=[("mammogram", (name, data))],
                data={"study_id": "Jane" + str(len(data))},
            )
    assert "a study of 1 images was read" in caplog.text
    assert "unsupported_format" in caplog.text
    assert "Jane" not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/studies/", 404, "not_found"),
        ("GET", "/v1/studies/%00", 404, "unknown_study"),
        ("GET", "/v1/studies/..%2f..%2fetc", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("PUT", "/v1/studies", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("BREW", "/v1/studies", 405, "method_not_allowed"),
        ("POST", "/v1/studies?wait=-1", 422, "invalid_request"),
        ("POST", "/v1/studies?wait=nan", 422, "invalid_request"),
        ("POST", "/v1/studies?wait=soon", 422, "invalid_request"),
    ],
)
def test_requests_that_mean_nothing_are_answered_with_a_problem(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    problem(response, status, code)
    assert "soon" not in response.text
    assert (status == 405) == ("allow" in response.headers)


def test_a_range_is_passed_over_and_the_whole_is_answered(reader: FakeReader) -> None:
    ranges = ("0-9", "abc", "5-1", "999999999-", ",".join(["0-0"] * 3000))
    with running(reader) as client:
        client.post("/v1/studies", **study(data={"study_id": "a"}))
        for path in ("/", "/v1/studies/a/images/0/mask.png"):
            whole = client.get(path)
            for asked in (*(f"bytes={each}" for each in ranges), "lines=1-2"):
                answer = client.get(path, headers={"Range": asked})
                assert (answer.status_code, answer.content) == (200, whole.content), asked[:20]


@pytest.mark.parametrize("before", [2**63, -(2**63) - 1, -1, 10**33])
def test_a_page_of_no_number_that_a_study_can_have_is_refused(
    client: httpx.Client, before: int
) -> None:
    problem(client.get("/v1/studies", params={"before": before}), 422, "invalid_request")
    assert client.get("/v1/studies", params={"before": 2**63 - 1}).status_code == 200


def test_a_wait_beyond_the_longest_is_cut_short(reader: FakeReader) -> None:
    reader.gate.clear()
    with running(reader, max_wait_s=0.05) as client:
        assert client.post("/v1/studies?wait=1e9", **study()).status_code == 202
        reader.gate.set()


def test_the_openapi_document_is_complete(client: httpx.Client) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["info"]["version"] == appliance.__version__
    assert set(document["paths"]) == {
        "/v1/studies",
        "/v1/studies/{study_id}",
        "/v1/studies/{study_id}/images/{index}/{kind}.png",
        "/v1/events",
        "/v1/session",
        "/v1/model",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name}",
        "/v2/models/{name}/ready",
    }
    post = document["paths"]["/v1/studies"]["post"]
    assert set(post["responses"]) >= {"200", "202", "409", "413", "415", "422", "429", "503"}
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = {"mammogram", "ultrasound", "study_id", "laterality", "view"}
    assert set(form["properties"]) == fields
    for path in document["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
