"""The page in a real Chromium: how the pictures are looked at, by mouse and by key."""

from __future__ import annotations

import files
import pytest
from page_bench import Visit, focused, image, needs_chromium, place, stage
from playwright.sync_api import Browser, Page, Route, expect
from service_bench import until

pytestmark = needs_chromium
pytest_plugins = ["page_fixtures"]

PARTS = ("mammogram", "ultrasound")


class TestPicture:
    def test_original_and_denoised_are_told_apart(self, seen: Visit, page: Page) -> None:
        seen.read_pair()
        page.get_by_role("button", name="Denoised").click()
        for index in (0, 1):
            shown = stage(page, index).locator("img:visible")
            expect(shown).to_have_count(1)
            expect(shown).to_have_attribute(
                "alt", f"{('Mammogram', 'Ultrasound')[index]} 1, denoised"
            )
            expect(page.locator(f"#frame-{index} .corner")).to_contain_text("denoised")

    def test_the_picture_fits_and_is_zoomed_about_the_pointer(
        self, seen: Visit, page: Page
    ) -> None:
        seen.read_pair()
        x, y, width, height = place(page, 0)
        assert x >= 0
        assert y >= 0
        surface = page.locator("#frame-0 .surface")
        bounds = surface.bounding_box()
        assert bounds is not None
        assert width / height == pytest.approx(80 / 96, rel=0.01)
        assert height == pytest.approx(bounds["height"], abs=1) or width == pytest.approx(
            bounds["width"], abs=1
        )

        px, py = x + 0.25 * width, y + 0.25 * height
        page.mouse.move(bounds["x"] + px, bounds["y"] + py)
        page.mouse.wheel(0, -500)
        until(lambda: place(page, 0)[2] > 1.5 * width)
        x2, y2, width2, _ = place(page, 0)
        assert ((px - x2) / width2, (py - y2) / width2) == pytest.approx(
            ((px - x) / width, (py - y) / width), abs=0.01
        )
        page.mouse.down()
        page.mouse.move(bounds["x"] + px - 60, bounds["y"] + py - 40, steps=4)
        page.mouse.up()
        x3, y3, *_ = place(page, 0)
        assert (x3 - x2, y3 - y2) == pytest.approx((-60, -40), abs=1)
        page.get_by_role("button", name="The whole picture: Mammogram").click()
        assert place(page, 0) == pytest.approx((x, y, width, height), abs=1)
        page.get_by_role("button", name="One screen pixel per pixel: Mammogram").click()
        assert place(page, 0)[2:] == pytest.approx((80, 96), abs=0.5)

    def test_two_fingers_zoom(self, browser: Browser, seen: Visit, page: Page) -> None:
        seen.read_pair()
        before = place(page, 0)[2]
        page.locator("#frame-0 .surface").evaluate(
            """surface => {
                const {left, top} = surface.getBoundingClientRect();
                const send = (type, pointerId, x) => surface.dispatchEvent(new PointerEvent(type,
                    {pointerId, clientX: left + x, clientY: top + 100, bubbles: true}));
                surface.setPointerCapture = () => {};
                send("pointerdown", 1, 100); send("pointerdown", 2, 150);
                send("pointermove", 2, 200);
                send("pointerup", 1, 100); send("pointerup", 2, 200);
            }"""
        )
        assert place(page, 0)[2] == pytest.approx(2 * before, rel=0.01)

    def test_window_and_level_change_the_greys(self, seen: Visit, page: Page) -> None:
        seen.read_pair()
        shot = page.locator("#frame-1 .surface")
        page.keyboard.press("m")
        before = shot.screenshot()
        page.get_by_label("Window: Ultrasound").fill("20")
        harder = shot.screenshot()
        assert before != harder
        page.get_by_role("button", name="Level and window as they were: Ultrasound").click()
        assert page.get_by_label("Window: Ultrasound").input_value() == "100"
        assert shot.screenshot() == before

        bounds = shot.bounding_box()
        assert bounds is not None
        page.mouse.move(bounds["x"] + 100, bounds["y"] + 100)
        page.mouse.down(button="right")
        page.mouse.move(bounds["x"] + 40, bounds["y"] + 140, steps=20)
        page.mouse.up(button="right")
        assert page.get_by_label("Window: Ultrasound").input_value() == "70"
        assert page.get_by_label("Level: Ultrasound").input_value() == "60"
        assert page.get_by_label("Window: Mammogram").input_value() == "100"

    def test_a_picture_of_another_size_is_not_drawn_on(self, seen: Visit, page: Page) -> None:
        wrong = image("", 41)["buffer"]
        page.route(
            "**/images/1/original.png",
            lambda route: route.fulfill(body=files.png(files.picture()), content_type="image/png"),
        )
        seen.choose("mammogram", image("mlo.png", wrong))
        seen.choose("ultrasound", image("us.png", 42))
        seen.send()
        expect(page.locator("#frame-1 .note")).to_contain_text("does not belong to this reading")
        expect(stage(page, 1)).not_to_be_visible()
        expect(stage(page, 0)).to_be_visible()

    def test_a_picture_that_fails_is_asked_for_again(self, seen: Visit, page: Page) -> None:
        seen.expected.append("503")
        refusals = [True]

        def refuse(route: Route) -> None:
            if refusals:
                refusals.pop()
                problem = {"title": "The disk cannot be written", "code": "storage_failed"}
                route.fulfill(status=503, json=problem)
            else:
                route.continue_()

        page.route("**/images/0/original.png", refuse)
        seen.choose("mammogram", image("mlo.png", 43))
        seen.send()
        expect(page.locator("#frame-0 .note")).to_contain_text("The disk cannot be written")
        page.get_by_role("button", name="Try again").click()
        expect(stage(page, 0)).to_be_visible()

    def test_on_paper_every_image_is_whole_and_the_tools_are_gone(
        self, seen: Visit, page: Page
    ) -> None:
        seen.choose("mammogram", image("mlo.png", 44), image("cc.png", 45))
        seen.choose("ultrasound", image("us.png", 46))
        seen.send()
        expect(page.locator(".stage img")).to_have_count(3)
        page.emulate_media(media="print")
        for index in range(3):
            shown = stage(page, index).bounding_box()
            assert shown is not None
            assert shown["width"] / shown["height"] == pytest.approx(80 / 96, rel=0.02)
        for gone in (".bar", ".tools", ".display", "#rail"):
            expect(page.locator(gone).first).not_to_be_visible()
        assert "compact 1.2.3" in page.locator("main").inner_text()
        assert "Not for primary diagnosis." in page.locator(".foot").inner_text()
        assert page.pdf().startswith(b"%PDF")

    def test_a_bar_shows_millimetres_where_the_file_tells_them(
        self, seen: Visit, page: Page
    ) -> None:
        film = files.dicom(
            files.picture(200, 150),
            modality="MG",
            ImagerPixelSpacing=[0.2, 0.1],
            PresentationIntentType=None,
        )
        posted = [("mammogram", film), ("ultrasound", image("", 45)["buffer"])]
        result = seen.client.post("/v1/studies", files=posted).json()
        assert result["images"][0]["spacing_mm"] == [0.2, 0.1]
        page.goto(f"{seen.client.base_url}#study={result['id']}")
        told, untold = (page.locator(f"#frame-{index} .ruler") for index in (0, 1))
        expect(told).to_be_visible()
        expect(untold).not_to_be_visible()

        def pixels_per_mm() -> float:
            length = told.evaluate("bar => parseFloat(getComputedStyle(bar, '::before').width)")
            return float(length) / float(told.inner_text().removesuffix(" mm"))

        for _ in range(3):
            screen_pixels = place(page, 0)[2] / 150
            assert pixels_per_mm() == pytest.approx(screen_pixels / 0.1, rel=0.02)
            page.get_by_role("button", name="Larger: Mammogram").click()


class TestKeyboard:
    def test_a_study_is_posted_and_read_without_a_mouse(self, seen: Visit, page: Page) -> None:
        # The dialog of the operating system is not the page's; all else is done by keys.
        page.on("filechooser", lambda _: None)  # from now on: else the first key may be too early
        for test, file in (
            ("mammogram", image("mlo.png", 51)),
            ("ultrasound", image("us.png", 52)),
        ):
            tab_to(page, f"Choose {test} images")
            with page.expect_file_chooser() as asked:
                page.keyboard.press("Enter")
            asked.value.set_files(file)
        tab_to(page, "Read")
        page.keyboard.press("Enter")
        expect(page.locator(".stage img")).to_have_count(2)
        assert focused(page).endswith("Positive")

        page.keyboard.press("j")
        expect(page.locator("tr.selected")).to_have_count(1)
        page.keyboard.press("k")
        expect(page.locator(".tag.selected")).to_have_text("1 benign 0.20")
        page.keyboard.press("z")
        assert place(page, 1)[2] > 600
        page.keyboard.press("Escape")
        expect(page.locator("tr.selected")).to_have_count(0)
        page.keyboard.press("d")
        expect(page.locator("#frame-0 .corner")).to_contain_text("denoised")
        page.keyboard.press("]")
        assert page.get_by_label("Opacity of the masks").input_value() == "45"

        page.keyboard.press("1")
        assert focused(page) == "Mammogram 1, denoised picture"
        page.keyboard.press("a")
        assert place(page, 0)[2] == pytest.approx(80, abs=0.5)
        for _ in range(12):
            page.keyboard.press("+")
        left = place(page, 0)[0]
        page.keyboard.press("ArrowRight")
        assert place(page, 0)[0] == pytest.approx(left - 40, abs=1)
        page.keyboard.press("Shift+ArrowLeft")
        assert page.get_by_label("Window: Mammogram").input_value() == "96"
        page.keyboard.press("r")
        assert page.get_by_label("Window: Mammogram").input_value() == "100"
        page.keyboard.press("0")
        assert place(page, 0)[0] >= 0

        tab_to(page, "Finding 1 malignant 0.80")
        page.keyboard.press("Enter")
        expect(page.locator("tr.selected")).to_have_count(1)
        tab_to(page, "Show finding 1, benign")
        page.keyboard.press("Enter")
        expect(page.locator(".tag.selected")).to_have_text("1 benign 0.20")

    def test_the_help_lists_the_keys_and_can_switch_them_off(self, seen: Visit, page: Page) -> None:
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Next and previous finding")
        dialog.get_by_label("Single-key shortcuts").uncheck()
        page.keyboard.press("Escape")
        expect(dialog).not_to_be_visible()
        page.keyboard.press("?")
        expect(dialog).not_to_be_visible()
        page.locator("#help").click()
        dialog.get_by_label("Single-key shortcuts").check()

    def test_keys_rest_while_something_is_typed(self, seen: Visit, page: Page) -> None:
        page.get_by_label("Reference").press_sequentially("n?/l")
        assert page.get_by_label("Reference").input_value() == "n?/l"
        expect(page.get_by_role("dialog")).not_to_be_visible()

    def test_images_of_a_test_are_leafed_through(self, seen: Visit, page: Page) -> None:
        seen.choose("mammogram", image("mlo.png", 53), image("cc.png", 54))
        seen.send()
        expect(page.locator(".stage img")).to_have_count(2)
        page.keyboard.press("1")
        page.keyboard.press("PageDown")
        assert focused(page) == "Mammogram 2, original picture"
        page.get_by_role("tab").nth(1).focus()
        page.keyboard.press("ArrowRight")
        assert focused(page) == "Mammogram 1, positive"


def tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        if focused(page).strip() == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached by Tab")
