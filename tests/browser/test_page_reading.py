"""The page in a real Chromium: from the upload to the reading, and how it is looked at."""

from __future__ import annotations

import time

import files
import httpx
import numpy as np
import pytest
from page_bench import DESK, ToldReader, Visit, image, needs_chromium, serious, stage, visit
from playwright.sync_api import Browser, Page, Route, expect
from service_bench import until

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.wording import INTENDED_USE
from mammosono.appliance.values import Modality, Verdict

pytestmark = needs_chromium

PARTS = ("mammogram", "ultrasound")
POSITIVE, NEGATIVE, UNSURE = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE
MILLIMETRES = files.dicom(
    files.picture(), modality="MG", ImagerPixelSpacing=[0.1, 0.1], PresentationIntentType=None
)


pytest_plugins = ["page_fixtures"]


def fail(seen: Visit, reader: ToldReader, seed: int) -> None:
    """Post a study over which the model fails, after it was taken."""
    reader.broken = True
    reader.gate.clear()
    seen.choose("mammogram", image("mlo.png", seed))
    seen.choose("ultrasound", image("us.png", seed + 1))
    seen.send()
    expect(seen.page.locator(".progress")).to_be_visible()
    reader.gate.set()


class TestFromUploadToReading:
    def test_a_pair_is_chosen_sent_and_read(self, seen: Visit, page: Page) -> None:
        seen.choose("mammogram", image("mlo.png", 11), image("cc.png", 12))
        seen.choose("ultrasound", image("us.png", 13))
        assert page.locator(".chip-file .name").all_inner_texts() == [
            "mlo.png\n6 kB", "cc.png\n6 kB", "us.png\n6 kB"
        ]  # fmt: skip
        page.get_by_label("Reference").fill("accession-11")
        seen.send()
        expect(page.locator(".banner h1")).to_contain_text("Positive")
        assert page.url.endswith("#study=accession-11")
        assert page.locator(".why").inner_text() == "The mammogram is positive."
        assert page.title() == "positive: accession-11 · mammosono"
        expect(page.locator(".pane")).to_have_count(2)
        expect(page.locator(".stage img")).to_have_count(3)
        entry = page.locator(".studies a[aria-current]")
        expect(entry).to_contain_text("accession-11")
        expect(entry).to_contain_text("positive")

    def test_images_can_be_taken_away_and_moved_to_the_other_test(
        self, seen: Visit, page: Page
    ) -> None:
        names = [f"{letter}.png" for letter in "abcd"]
        seen.choose("mammogram", *(image(name, k) for k, name in enumerate(names)))
        page.get_by_role("button", name="Move b.png to ultrasound").click()
        page.get_by_role("button", name="Remove c.png").click()
        mammograms, ultrasounds = page.locator(".chips").all()
        assert [text.split("\n")[0] for text in mammograms.locator(".name").all_inner_texts()] == [
            "a.png", "d.png"
        ]  # fmt: skip
        assert "b.png" in ultrasounds.inner_text()

    def test_files_are_dropped_where_they_belong(self, seen: Visit, page: Page) -> None:
        drop = """(zone, bytes) => {
            const data = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "us.png", {type: "image/png"});
            data.items.add(file);
            const options = {dataTransfer: data, bubbles: true, cancelable: true};
            zone.dispatchEvent(new DragEvent("dragover", options));
            zone.dispatchEvent(new DragEvent("drop", options));
        }"""
        data = list(image("", 14)["buffer"])
        page.locator(".zone").nth(1).evaluate(drop, data)
        assert "us.png" in page.locator(".zone").nth(1).inner_text()
        page.locator("main").evaluate(drop, data)
        expect(page.locator(".chip-file")).to_have_count(1)

    def test_an_image_is_called_by_side_and_view_and_its_file_is_named(
        self, seen: Visit, page: Page
    ) -> None:
        seen.choose("mammogram", image("R_MLO.png", 15), image("LCC.png", 16), image("x.png", 17))
        seen.choose("ultrasound", image("<i>us.png", 18))
        seen.send()
        expect(page.get_by_role("tab")).to_have_text(["R MLO+", "L CC+", "3+"])
        assert page.get_by_role("tab").nth(0).get_attribute("aria-label") == (
            "Mammogram R MLO, positive"
        )
        expect(page.locator(".of-image h3")).to_contain_text(
            ["Mammogram R MLO", "Mammogram L CC", "Mammogram 3", "Ultrasound 1"]
        )
        expect(page.locator(".of-image .file")).to_have_text(
            [
                "R_MLO.png · side and view by file name",
                "LCC.png · side and view by file name",
                "x.png",
                "<i>us.png",
            ]
        )
        expect(page.locator(".side-and-view").first).to_have_text("R MLO")
        page.emulate_media(media="print")
        expect(page.locator(".on-paper").first).to_contain_text("Mammogram R MLO: positive")
        expect(page.locator(".side-and-view")).to_have_count(2)

    def test_progress_is_told_until_it_is_read(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        reader.gate.clear()
        seen.choose("mammogram", image("mlo.png", 16))
        seen.send()
        expect(page.locator(".steps .now")).to_have_text("Being read")
        assert page.locator("h1").inner_text() == "No result yet"
        assert page.locator(".banner").count() == 0
        reader.gate.set()
        expect(page.locator(".banner")).to_be_visible()

    def test_what_was_sent_is_cleared_once_it_is_read(self, seen: Visit, page: Page) -> None:
        seen.read_pair()
        page.keyboard.press("n")
        expect(page.locator("h1")).to_have_text("New reading")
        expect(page.locator(".chip-file")).to_have_count(0)


class TestVerdict:
    @pytest.mark.parametrize(
        ("mg", "us", "word", "why"),
        [
            (POSITIVE, POSITIVE, "Positive", "The mammogram and ultrasound are positive."),
            (NEGATIVE, POSITIVE, "Positive", "The ultrasound is positive."),
            (NEGATIVE, NEGATIVE, "Negative", "The mammogram and ultrasound are negative."),
            (UNSURE, NEGATIVE, "Indeterminate", "The mammogram is indeterminate."),
        ],
    )
    def test_the_banner_says_which_and_why(
        self, seen: Visit, reader: ToldReader, mg: Verdict, us: Verdict, word: str, why: str
    ) -> None:
        reader.says = {Modality.MG: mg, Modality.US: us}
        seen.read_pair()
        assert word.upper() in seen.verdict()
        assert why in seen.page.locator(".why").inner_text()

    @pytest.mark.parametrize("mg", [POSITIVE, NEGATIVE])
    def test_half_a_study_is_called_incomplete_and_is_never_negative(
        self, seen: Visit, page: Page, reader: ToldReader, mg: Verdict
    ) -> None:
        reader.says[Modality.MG] = mg
        seen.choose("mammogram", image("mlo.png", 21))
        expect(page.locator(".act .hint")).to_contain_text("never negative")
        seen.send()
        expect(page.locator(".banner")).to_be_visible()
        word = "POSITIVE" if mg is POSITIVE else "INDETERMINATE"
        assert word in seen.verdict()
        assert "INCOMPLETE" in page.locator(".banner").inner_text()
        assert "No ultrasound was given." in page.locator(".why").inner_text()
        assert "No ultrasound was given." in page.locator(".missing").inner_text()
        assert ("no all-clear" in page.locator(".why").inner_text()) == (mg is NEGATIVE)

    def test_an_image_without_a_verdict_shows_its_warning(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        reader.says[Modality.MG] = UNSURE
        seen.read_pair()
        assert "No breast was found" in page.locator(".warnings").inner_text()
        assert "This image could not be decided." in page.locator(".findings").inner_text()
        assert "no all-clear" in page.locator(".why").inner_text()

    @pytest.mark.parametrize(
        "lie",
        [
            {"verdict": "negative"},
            {"verdict": "fine"},
            {"id": "another"},
        ],
    )
    def test_a_result_that_contradicts_its_images_shows_no_verdict(
        self, seen: Visit, page: Page, lie: dict[str, str]
    ) -> None:
        posted = seen.client.post("/v1/studies", files=[("mammogram", image("", 22)["buffer"])])
        result = posted.json()
        page.route(f"**/v1/studies/{result['id']}", lambda route: route.fulfill(json=result | lie))
        page.goto(f"{seen.client.base_url}#study={result['id']}")
        seen.problem("This result contradicts itself")
        assert page.locator(".banner").count() == 0

    @pytest.mark.parametrize("lacking", ["images", "model"])
    def test_a_result_that_lacks_a_part_is_said_and_shows_no_verdict(
        self, seen: Visit, page: Page, lacking: str
    ) -> None:
        posted = seen.client.post("/v1/studies", files=[("mammogram", image("", 22)["buffer"])])
        result = posted.json()
        rest = {key: value for key, value in result.items() if key != lacking}
        page.route(f"**/v1/studies/{result['id']}", lambda route: route.fulfill(json=rest))
        page.goto(f"{seen.client.base_url}#study={result['id']}")
        expect(page.locator(".problem")).to_be_visible()
        assert page.locator(".banner").count() == 0
        assert "Loading the study" not in page.locator("main").inner_text()

    def test_a_negative_that_a_warning_on_the_study_withholds_is_shown_with_it(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        reader.says[Modality.MG] = Verdict.NEGATIVE
        parts = [
            (part, image("", seed)["buffer"])
            for seed, part in ((31, "mammogram"), (32, "ultrasound"))
        ]
        result = seen.client.post("/v1/studies", files=parts).json()
        told = {"verdict": "indeterminate", "decided_by": [], "warnings": ["The sides differ."]}
        page.route(f"**/v1/studies/{result['id']}", lambda route: route.fulfill(json=result | told))
        page.goto(f"{seen.client.base_url}#study={result['id']}")
        assert "INDETERMINATE" in seen.verdict()
        assert "The sides differ." in page.locator(".banner").inner_text()

    def test_a_study_that_failed_has_no_verdict_and_says_why(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        fail(seen, reader, 23)
        expect(page.locator(".banner h1")).to_contain_text("Not read")
        assert "no verdict" in page.locator(".why").inner_text()
        seen.problem("The model gave an answer that cannot be trusted")
        assert "negative" not in page.locator("main").inner_text().lower()

    def test_nothing_of_one_study_stays_under_another(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        seen.read_pair()
        reader.gate.clear()
        files = [("mammogram", image("", 25)["buffer"])]
        waiting = seen.client.post("/v1/studies?wait=0", files=files).json()["id"]
        held: list[Route] = []
        page.route(lambda url: f"search={waiting}" in url, lambda route: held.append(route))
        page.evaluate("id => { location.hash = `study=${id}` }", waiting)
        until(lambda: page.evaluate("1") and bool(held))
        # While the appliance has not answered, nothing of the study before is left.
        expect(page.locator(".banner, .stage, .findings")).to_have_count(0)
        assert "positive" not in page.locator("main").inner_text()
        held[0].continue_()
        expect(page.locator(".steps .now")).to_have_text("Being read")

    def test_a_study_posted_anew_under_the_same_reference_replaces_the_reading(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        def post(seed: int) -> None:
            seen.client.post(
                "/v1/studies",
                files=[(test, image("", seed + k)["buffer"]) for k, test in enumerate(PARTS)],
                data={"study_id": "again"},
            )

        reader.says[Modality.MG] = NEGATIVE
        post(26)
        page.goto(f"{seen.client.base_url}#study=again")
        expect(page.locator(".banner h1")).to_contain_text("Negative")
        time.sleep(1.1)  # the time of posting has whole seconds
        seen.client.delete("/v1/studies/again")
        reader.says[Modality.MG] = POSITIVE
        post(28)
        expect(page.locator(".banner h1")).to_contain_text("Positive")

    def test_model_and_intended_use_are_always_in_sight(self, seen: Visit, page: Page) -> None:
        foot = page.locator(".foot")
        expect(foot).to_contain_text("Model compact 1.2.3")
        assert "Not for primary diagnosis." in foot.inner_text()
        seen.read_pair()
        assert "Read by compact 1.2.3" in foot.inner_text()
        assert INTENDED_USE.split(".")[0] in foot.inner_text()
        assert foot.is_visible()


class TestFindings:
    def test_table_and_picture_point_at_each_other(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        reader.findings = 3
        seen.read_pair()
        rows = page.locator(".findings tbody tr")
        expect(rows).to_have_count(6)
        rows.nth(1).hover()
        expect(page.locator(".region.hovered")).to_have_count(1)
        expect(page.locator(".tag.hovered")).to_have_text("2 benign 0.19")
        page.get_by_role("button", name="Finding 3 benign").first.hover()
        expect(rows.nth(2)).to_contain_class("hovered")

        page.locator("#frame-1 .region").first.click(force=True)
        expect(page.locator("tr.selected")).to_have_count(1)
        chosen = page.locator("tr.selected button").get_attribute("aria-label")
        pressed = page.locator(".tag[aria-pressed=true]")
        expect(pressed).to_have_count(1)
        number = pressed.inner_text().split()[0]
        assert chosen == f"Show finding {number}, benign"
        page.locator("tr.selected").click()
        expect(page.locator("tr.selected, .tag.selected, .region.selected")).to_have_count(0)

    def test_a_finding_of_a_hidden_image_turns_to_it(
        self, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        seen.choose("mammogram", image("mlo.png", 31), image("cc.png", 32))
        seen.send()
        tabs = page.get_by_role("tab")
        expect(tabs.nth(0)).to_have_attribute("aria-selected", "true")
        page.get_by_role("button", name="Show finding 1").nth(1).click()
        expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
        expect(stage(page, 1)).to_be_visible()
        expect(stage(page, 0)).not_to_be_visible()

    def test_the_tab_with_a_positive_image_comes_first(self, seen: Visit, page: Page) -> None:
        files = [("mammogram", image("", k)["buffer"]) for k in (33, 34)]
        result = seen.client.post("/v1/studies", files=files).json()
        result["images"][0]["verdict"] = "negative"
        page.route(f"**/v1/studies/{result['id']}", lambda route: route.fulfill(json=result))
        page.goto(f"{seen.client.base_url}#study={result['id']}")
        expect(page.get_by_role("tab").nth(1)).to_have_attribute("aria-selected", "true")
        assert page.get_by_role("tab").nth(0).get_attribute("aria-label") == "Mammogram 1, negative"

    def test_masks_lie_where_the_reader_saw_them(self, seen: Visit, page: Page) -> None:
        """The page's own decoding, painted by the browser, against the mask the appliance draws."""
        posted = seen.client.post("/v1/studies", files=[("mammogram", image("", 35)["buffer"])])
        result = posted.json()
        (one,) = result["images"]
        painted = page.evaluate(
            """async ({mask, width, height}) => {
                const {maskPath} = await import("/static/rle.js");
                const canvas = new OffscreenCanvas(width, height).getContext("2d");
                canvas.fill(new Path2D(maskPath(mask)));
                const {data} = canvas.getImageData(0, 0, width, height);
                return [...data].filter((_, k) => k % 4 === 3);
            }""",
            {"mask": one["findings"][0]["mask"], "width": one["width"], "height": one["height"]},
        )
        path = f"/v1/studies/{result['id']}/images/0/mask.png"
        drawn = read_image(seen.client.get(path).content, Modality.MG).pixels
        assert np.array_equal(np.array(painted).reshape(drawn.shape) > 0, drawn > 0)

    def test_masks_fade_and_marks_hide_but_never_silently(self, seen: Visit, page: Page) -> None:
        seen.read_pair()
        mask = page.locator(".region .mask").first
        opacity = page.get_by_label("Opacity of the masks")
        opacity.fill("80")
        assert mask.evaluate("e => getComputedStyle(e).fillOpacity") == "0.8"
        opacity.fill("0")
        assert mask.evaluate("e => getComputedStyle(e).fillOpacity") == "0"
        expect(page.locator(".region .outline").first).to_be_visible()
        page.get_by_label("Findings on the pictures").uncheck()
        expect(page.locator(".region .outline").first).not_to_be_visible()
        said = page.locator(".corner").first.evaluate("e => getComputedStyle(e, '::after').content")
        assert said == '"findings hidden"'

    def test_sizes_are_millimetres_where_the_pixel_size_is_known(
        self, seen: Visit, page: Page
    ) -> None:
        seen.choose("mammogram", image("mlo.dcm", MILLIMETRES, ""))
        seen.choose("ultrasound", image("us.png", 36))
        seen.send()
        rows = page.locator(".findings tbody tr")
        expect(rows).to_have_count(2)
        assert "mm²" in rows.nth(0).inner_text()
        assert "px²" in rows.nth(1).inner_text()


class TestListOfStudies:
    def test_it_is_searched_filtered_and_followed(
        self, browser: Browser, seen: Visit, page: Page, reader: ToldReader
    ) -> None:
        def post(name: str, seed: int) -> None:
            parts = [("mammogram", image("", seed)["buffer"])]
            seen.client.post("/v1/studies?wait=0", files=parts, data={"study_id": name})

        post("list-one", 61)
        entry = page.locator(".studies a", has_text="list-one")
        expect(entry).to_contain_text("positive")
        reader.gate.clear()
        post("list-two", 62)
        expect(page.locator(".studies a").first).to_contain_text("list-two")
        expect(page.locator(".studies a").first).to_contain_text("being read")

        page.keyboard.press("/")
        page.keyboard.type("list-")
        expect(page.locator(".studies a")).to_have_count(2)
        page.get_by_label("Status").select_option("done")
        expect(page.locator(".studies a")).to_have_count(1)
        page.get_by_label("Search studies").fill("nothing like it")
        expect(page.locator(".list .told")).to_have_text("No study fits.")

    def test_a_study_has_an_address_of_its_own(self, seen: Visit, page: Page) -> None:
        parts = [("mammogram", image("", 63)["buffer"])]
        seen.client.post("/v1/studies", files=parts, data={"study_id": "deep"})
        page.goto(f"{seen.client.base_url}#study=deep")
        expect(page.locator(".banner .id")).to_have_text("deep")
        page.reload()
        expect(page.locator(".banner .id")).to_have_text("deep")
        page.keyboard.press("n")
        expect(page.locator("h1")).to_have_text("New reading")
        page.go_back()
        expect(page.locator(".banner .id")).to_have_text("deep")

    def test_a_study_that_is_deleted_leaves_the_page(self, seen: Visit, page: Page) -> None:
        parts = [("mammogram", image("", 64)["buffer"])]
        seen.client.post("/v1/studies", files=parts, data={"study_id": "short-lived"})
        page.goto(f"{seen.client.base_url}#study=short-lived")
        expect(page.locator(".banner")).to_be_visible()
        seen.client.delete("/v1/studies/short-lived")
        seen.problem("This study was deleted")
        expect(page.locator(".banner")).to_have_count(0)

    def test_an_address_of_no_study_says_so(self, seen: Visit, page: Page) -> None:
        seen.expected.append("404")
        page.goto(f"{seen.client.base_url}#study=unknown")
        seen.problem("There is no such study", "Choose a study from the list")


@pytest.mark.parametrize("size", [DESK, {"width": 390, "height": 844}])
@pytest.mark.parametrize("contrast", ["no-preference", "more"])
def test_axe_finds_nothing_serious(
    browser: Browser,
    reader: ToldReader,
    service: tuple[ToldReader, httpx.Client],
    size: dict[str, int],
    contrast: str,
) -> None:
    reader.findings = 3
    reader.says[Modality.US] = UNSURE
    with visit(browser, service[1], viewport=size, contrast=contrast) as seen:
        page = seen.page
        expect(page.locator(".choose")).to_be_visible()
        seen.choose("mammogram", image("mlo.png", 71), image("cc.png", 72))
        assert serious(page) == []
        seen.send()
        expect(page.locator(".stage img")).to_have_count(2)
        page.keyboard.press("j")
        # Of what lies under text that is scrolled away axe only guesses the colour.
        page.locator("main").evaluate("main => main.scrollTo(0, 0)")
        assert serious(page) == []
        page.keyboard.press("?")
        assert serious(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        fail(seen, reader, 73)
        expect(page.locator(".banner h1")).to_contain_text("Not read")
        assert serious(page) == []


def test_colours_of_the_system_and_stillness_are_kept(
    browser: Browser, reader: ToldReader, service: tuple[ToldReader, httpx.Client]
) -> None:
    asked = {"forced_colors": "active", "reduced_motion": "reduce"}
    with visit(browser, service[1], **asked) as seen:
        page = seen.page
        reader.gate.clear()
        seen.choose("mammogram", image("mlo.png", 81))
        seen.send()
        expect(page.locator(".steps .now")).to_have_text("Being read")
        animations = page.evaluate("document.getAnimations().length")
        assert animations == 0
        reader.gate.set()
        expect(page.locator(".stage img")).to_have_count(1)
        computed = "(e, name) => getComputedStyle(e)[name]"
        banner = page.locator(".banner")
        assert banner.evaluate(computed, "backgroundColor") != "rgb(184, 78, 0)"
        assert banner.evaluate(computed, "borderTopWidth") == "2px"
        # What is drawn on the picture means something by its colour and its line.
        outline = page.locator(".region.malignant .outline")
        assert outline.evaluate(computed, "stroke") == "rgb(240, 121, 42)"
        assert outline.evaluate(computed, "strokeDasharray") == "none"
