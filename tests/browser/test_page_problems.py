"""The page in a real Chromium, when something is wrong: said in words, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import files
import httpx
import pytest
from page_bench import ToldReader, Visit, Wire, image, needs_chromium, visit
from playwright.sync_api import Browser, Route, expect
from pydicom.uid import DeflatedExplicitVRLittleEndian
from service_bench import FakeReader, running, serving

from mammosono.appliance.errors import ModelUnavailable

pytestmark = needs_chromium

GREY = files.picture()
PNG = files.png(GREY)

BAD = {
    "a text": (b"finding: none", "Not a PNG, JPEG, TIFF or DICOM file"),
    "a PDF": (b"%PDF-1.7\n" + bytes(500), "Not a PNG, JPEG, TIFF or DICOM file"),
    "half a PNG": (PNG[: len(PNG) // 2], "The image file is damaged"),
    "half a DICOM file": (files.dicom(GREY, modality="MG")[:-5000], "The DICOM file is damaged"),
    "a deflated DICOM file": (
        files.with_transfer_syntax(
            files.dicom(GREY, modality="MG"), DeflatedExplicitVRLittleEndian
        ),
        "The DICOM transfer syntax is not supported",
    ),
    "DICOM without pixels": (
        files.dicom(GREY, lambda ds: ds.__delitem__("PixelData"), modality="MG"),
        "This kind of DICOM object cannot be read",
    ),
    "two pages": (files.tiff(GREY, GREY), "The file holds more than one picture"),
    "a stamp": (files.png(GREY[:20, :20]), "The image is too small"),
    "a bomb": (files.png_header(50_000, 50_000), "The image is too large"),
    "nothing but black": (files.png(GREY * 0), "The image shows nothing"),
    "an ultrasound as mammogram": (
        files.dicom(GREY, modality="US"),
        "The file is of another modality",
    ),
}


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[ToldReader, httpx.Client]]:
    reader = ToldReader()
    with running(reader, queue_length=2, max_body_bytes=2_000_000) as client:
        yield reader, client


@pytest.fixture
def reader(service: tuple[ToldReader, httpx.Client]) -> Iterator[ToldReader]:
    yield service[0]
    service[0].gate.set()


@pytest.fixture
def seen(browser: Browser, service: tuple[ToldReader, httpx.Client]) -> Iterator[Visit]:
    with visit(browser, service[1]) as seen:
        yield seen


@pytest.mark.parametrize(("data", "title"), BAD.values(), ids=BAD.keys())
def test_a_study_of_bad_files_alone_names_the_first_and_keeps_the_choice(
    seen: Visit, reader: ToldReader, data: bytes, title: str
) -> None:
    """The study is refused after it was taken: the way back leads to what was chosen."""
    page = seen.page
    reader.gate.clear()
    ahead = [("mammogram", image("", hash(title) % 1000)["buffer"])]
    seen.client.post("/v1/studies?wait=0", files=ahead)
    seen.choose("mammogram", image("bad.file", data, ""))
    seen.choose("ultrasound", image("bad too.file", b"no image", ""))
    seen.send()
    expect(page.locator(".progress")).to_be_visible()
    reader.gate.set()
    expect(page.locator(".banner h1")).to_contain_text("Not read")
    assert "no verdict" in page.locator(".why").inner_text()
    seen.problem(title, "mammogram 1: ", "None of the 2 images can be read.")

    page.get_by_role("button", name="Change the images").click()
    seen.problem(title, "Marked: bad.file")
    assert "bad.file" in page.locator(".chip-file.bad").inner_text()
    expect(page.locator(".chip-file")).to_have_count(2)
    page.get_by_role("button", name="Remove bad.file").click()
    expect(page.locator(".problem")).to_have_count(0)
    seen.choose("mammogram", image("good.png", 1))
    seen.send()
    expect(page.locator(".banner h1")).to_contain_text("Positive")


def test_an_empty_file_is_not_even_taken(seen: Visit) -> None:
    seen.choose("mammogram", image("empty.dcm", b"", ""))
    expect(seen.page.locator(".choose .told")).to_have_text("empty.dcm is empty and was not taken.")
    expect(seen.page.get_by_role("button", name="Read", exact=True)).to_be_disabled()


def test_a_reference_that_cannot_be_used_is_said_before_anything_is_sent(seen: Visit) -> None:
    seen.choose("mammogram", image("mlo.png", 3))
    seen.page.get_by_label("Reference").fill("Doe, Jane")
    seen.send()
    seen.problem("The reference cannot be used", "Change the reference.")
    seen.page.get_by_label("Reference").fill("fine")
    seen.send()
    expect(seen.page.locator(".banner .id")).to_have_text("fine")


def test_a_reference_of_other_images_is_refused_and_the_images_are_kept(seen: Visit) -> None:
    seen.expected.append("409")
    seen.client.post(
        "/v1/studies", files=[("mammogram", image("", 4)["buffer"])], data={"study_id": "used"}
    )
    seen.choose("mammogram", image("mlo.png", 5))
    seen.page.get_by_label("Reference").fill("used")
    seen.send()
    seen.problem("The study id is taken by other images", "Choose another reference")
    expect(seen.page.locator(".chip-file")).to_have_count(1)
    expect(seen.page.locator(".banner")).to_have_count(0)


def test_a_full_queue_is_waited_for(seen: Visit, reader: ToldReader) -> None:
    seen.expected.append("429")
    reader.gate.clear()
    for seed in (6, 7, 8):
        parts = [("mammogram", image("", seed)["buffer"])]
        assert seen.client.post("/v1/studies?wait=0", files=parts).status_code == 202
        # The one that is read has left the queue before the next one comes.
        expect(seen.page.locator(".state[data-kind=reading]")).to_have_count(1)
    seen.choose("mammogram", image("mlo.png", 11))
    seen.send()
    seen.problem("Too many studies are waiting", "sends it again by itself")
    expect(seen.page.locator(".going")).to_contain_text("Sent again in")
    reader.gate.set()
    expect(seen.page.locator(".banner h1")).to_contain_text("Positive")


def test_sending_can_be_cancelled(seen: Visit, reader: ToldReader) -> None:
    seen.page.route("**/v1/studies?wait=0", lambda route: None)  # never answered
    seen.choose("mammogram", image("mlo.png", 9))
    seen.send()
    seen.page.get_by_role("button", name="Cancel").click()
    expect(seen.page.get_by_role("button", name="Read", exact=True)).to_be_enabled()
    expect(seen.page.locator(".chip-file")).to_have_count(1)


def test_too_much_at_once_is_said_in_words(seen: Visit) -> None:
    """Whether the appliance's answer arrives or its hanging up is faster."""
    seen.expected += ["413", "ERR_"]
    seen.choose("mammogram", image("large.dcm", bytes(3_000_000), ""))
    seen.send()
    seen.problem("Send fewer images at a time")
    expect(seen.page.locator(".chip-file")).to_have_count(1)


def test_an_answer_that_is_not_the_boxs_is_no_verdict(seen: Visit) -> None:
    seen.expected.append("502")
    seen.page.route(
        "**/v1/studies?wait=0", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>")
    )
    seen.choose("mammogram", image("mlo.png", 10))
    seen.send()
    seen.problem("does not know", "Status 502")


class TestLostBox:
    @pytest.fixture
    def wire(self, service: tuple[ToldReader, httpx.Client]) -> Iterator[Wire]:
        with closing(Wire(service[1])) as wire:
            yield wire

    @pytest.fixture
    def seen(
        self, browser: Browser, service: tuple[ToldReader, httpx.Client], wire: Wire
    ) -> Iterator[Visit]:
        with visit(browser, service[1], wire.url) as seen:
            seen.expected.append("net::ERR_")
            expect(seen.page.locator(".choose")).to_be_visible()
            yield seen

    def test_a_lost_box_is_said_and_found_again(self, seen: Visit, wire: Wire) -> None:
        seen.read_pair()
        wire.pull()
        lost = seen.page.locator("#lost")
        expect(lost).to_contain_text("The box does not answer.")
        assert "POSITIVE" in seen.verdict()  # what is shown stays true
        parts = [("mammogram", image("", 21)["buffer"])]
        seen.client.post("/v1/studies", files=parts, data={"study_id": "meanwhile"})
        wire.put_in()
        expect(lost).to_be_empty()
        # On a window of this width the list gives way to the reading.
        seen.page.keyboard.press("l")
        expect(seen.page.locator(".studies")).to_contain_text("meanwhile")

    def test_what_was_chosen_outlives_it(self, seen: Visit, wire: Wire) -> None:
        seen.choose("mammogram", image("mlo.png", 22))
        wire.pull()
        seen.send()
        seen.problem("The box does not answer", "send it again")
        wire.put_in()
        seen.send()
        expect(seen.page.locator(".banner h1")).to_contain_text("Positive")

    def test_a_study_that_is_read_meanwhile_is_shown(
        self, seen: Visit, wire: Wire, reader: ToldReader
    ) -> None:
        reader.gate.clear()
        seen.choose("mammogram", image("mlo.png", 23))
        seen.send()
        expect(seen.page.locator(".steps .now")).to_have_text("Being read")
        wire.pull()
        expect(seen.page.locator("#lost")).not_to_be_empty()
        reader.gate.set()
        expect(seen.page.locator("h1")).to_have_text("No result yet")
        wire.put_in()
        expect(seen.page.locator(".banner h1")).to_contain_text("Positive")


def test_an_answer_that_got_lost_makes_no_second_study(
    browser: Browser, service: tuple[ToldReader, httpx.Client]
) -> None:
    with visit(browser, service[1]) as seen:
        seen.expected.append("net::ERR_")
        lost = [True]

        def lose(route: Route) -> None:
            if lost:
                lost.pop()
                route.fetch()
                route.abort()
            else:
                route.continue_()

        before = len(seen.client.get("/v1/studies").json()["studies"])
        seen.page.route("**/v1/studies?wait=0", lose)
        seen.choose("mammogram", image("mlo.png", 31))
        seen.send()
        seen.problem("hung up")
        seen.send()
        expect(seen.page.locator(".banner h1")).to_contain_text("Positive")
        assert len(seen.client.get("/v1/studies").json()["studies"]) == before + 1


def test_an_appliance_without_a_model_says_so_at_once(browser: Browser) -> None:
    def broken() -> FakeReader:
        raise ModelUnavailable("trunk.onnx: its sha256 is not the manifest's.")

    with serving(broken) as client, visit(browser, client) as seen:
        seen.expected.append("503")
        expect(seen.page.locator("#unready")).to_contain_text("its sha256 is not the manifest's")
        seen.choose("mammogram", image("mlo.png", 32))
        seen.send()
        seen.problem("The model cannot be run", "Your choice is kept")
        expect(seen.page.locator(".chip-file")).to_have_count(1)
