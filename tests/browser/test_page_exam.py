"""The page with many images, and with some that cannot be read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_bench import Visit, image, needs_chromium, serious
from playwright.sync_api import Page, expect
from service_bench import png

from mammosono.appliance.values import Modality, Verdict

pytestmark = needs_chromium
pytest_plugins = ["page_fixtures"]

WHY = "The PNG file is cut off; export it again from its source."


def bad(name: str, seed: int) -> dict[str, Any]:
    return image(name, png(seed)[:-40])


def post_with_one_unread(seen: Visit, first: int) -> None:
    seen.choose("mammogram", image("L_CC.png", first), bad("R_MLO.png", first + 1))
    seen.choose("ultrasound", *(image(f"{k}.png", first + 2 + k) for k in range(3)))
    seen.send()


def test_an_unread_image_stands_in_its_place_with_why(seen: Visit, page: Page, reader) -> None:
    reader.says = {Modality.MG: Verdict.NEGATIVE, Modality.US: Verdict.NEGATIVE}
    post_with_one_unread(seen, 2100)
    expect(page.locator(".banner h1")).to_contain_text("Indeterminate")
    expect(page.locator(".why")).to_contain_text("An image could not be read")
    expect(page.locator(".why")).to_contain_text("no all-clear")
    expect(page.locator(".stage img")).to_have_count(4)
    tabs = page.get_by_role("tablist", name="Mammogram: images").get_by_role("tab")
    assert tabs.all_inner_texts() == ["L CC−", "R MLO×"]
    expect(tabs.nth(0)).to_have_attribute("aria-selected", "true")  # one that shows something
    page.get_by_role("tab", name="Mammogram R MLO, not read").click()
    pane = page.locator("#pane-MG").locator("xpath=ancestor::section")
    expect(pane.locator(".chip")).to_have_text("× not read")
    shown = pane.locator(".surface.unread:visible")
    for words in ("Mammogram not read", "R_MLO.png", WHY):
        expect(shown).to_contain_text(words)
    expect(pane.locator(".tools")).not_to_be_visible()
    told = page.locator(".of-image").nth(1)
    for words in ("Mammogram R MLO", "not read", "R_MLO.png", WHY):
        expect(told).to_contain_text(words)
    expect(told).not_to_contain_text("No finding")
    expect(page.locator(".details")).to_contain_text("Mammogram R MLO")
    assert serious(page) == []


def test_keys_go_over_an_unread_image_as_over_any_other(seen: Visit, page: Page, reader) -> None:
    reader.says = {Modality.MG: Verdict.NEGATIVE, Modality.US: Verdict.NEGATIVE}
    post_with_one_unread(seen, 2200)
    expect(page.locator(".stage img")).to_have_count(4)
    page.get_by_role("tab", name="Mammogram R MLO, not read").click()
    page.keyboard.press("1")
    for key in (
        "+",
        "-",
        "0",
        "f",
        "a",
        "r",
        "ArrowLeft",
        "Shift+ArrowUp",
        "d",
        "m",
        "j",
        "k",
        "z",
    ):
        page.keyboard.press(key)
    page.get_by_role("button", name="Original").click()
    page.locator(".surface.unread").press("PageDown")
    expect(
        page.locator("#pane-MG").locator("xpath=ancestor::section").locator(".chip")
    ).to_have_text("− negative")


def test_a_positive_beside_an_unread_image_is_shown_first(seen: Visit, page: Page) -> None:
    seen.choose("mammogram", bad("R_MLO.png", 2301), image("L_CC.png", 2302))
    seen.choose("ultrasound", image("u.png", 2303))
    seen.send()
    expect(page.locator(".banner h1")).to_contain_text("Positive")
    expect(page.locator(".why")).to_contain_text("An image could not be read")
    expect(page.get_by_role("tab", name="Mammogram L CC, positive")).to_have_attribute(
        "aria-selected", "true"
    )


def test_where_no_image_of_a_test_could_be_read_that_is_said(
    seen: Visit, page: Page, reader
) -> None:
    reader.says = {Modality.MG: Verdict.NEGATIVE, Modality.US: Verdict.NEGATIVE}
    seen.choose("mammogram", bad("R_MLO.png", 2401))
    seen.choose("ultrasound", image("u.png", 2402))
    seen.send()
    expect(page.locator(".banner h1")).to_contain_text("Indeterminate")
    expect(page.locator(".why")).to_contain_text("No mammogram could be read.")
    expect(page.locator(".tag-incomplete")).to_be_visible()
    expect(page.locator(".surface.unread")).to_contain_text(WHY)


def test_where_none_can_be_read_the_first_is_marked_and_can_be_changed(
    seen: Visit, page: Page
) -> None:
    seen.expected = ["status of 422"]
    seen.choose("mammogram", *(bad(f"{k}.png", 2500 + k) for k in range(5)))
    seen.send()
    expect(page.locator(".problem")).to_contain_text("None of the 5 images can be read.")
    page.get_by_role("button", name="Change the images").click()
    expect(page.locator(".chip-file.bad .name")).to_contain_text("0.png")


def test_24_of_each_are_chosen_sent_and_read_and_a_25th_is_not_taken(
    seen: Visit, page: Page
) -> None:
    expect(page.get_by_text("up to 24 of each test")).to_be_visible()
    seen.choose("mammogram", *(image(f"m{k:02}.png", 2600 + k) for k in range(25)))
    expect(page.locator(".choose .told")).to_contain_text(
        "m24.png was not taken: at most 24 of a test."
    )
    seen.choose("ultrasound", *(image(f"u{k:02}.png", 2700 + k) for k in range(24)))
    seen.send()
    expect(page.locator(".stage img")).to_have_count(48)
    tabs = page.get_by_role("tablist", name="Mammogram: images").get_by_role("tab")
    expect(tabs).to_have_count(24)
    for k in (0, 12, 23):
        tabs.nth(k).click()
        expect(tabs.nth(k)).to_be_in_viewport()
        frame = page.locator(f"#frame-{k} .surface")
        expect(frame).to_be_visible()
        assert frame.bounding_box()["height"] > 200
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("paper", [False, True], ids=["on the screen", "on paper"])
def test_on_paper_an_unread_image_is_in_its_place_with_why(seen: Visit, page: Page, paper) -> None:
    post_with_one_unread(seen, 2800 + 10 * paper)
    expect(page.locator(".stage img")).to_have_count(4)
    page.emulate_media(media="print" if paper else "screen")
    shown = page.locator(".surface.unread")
    if paper:
        expect(shown).to_be_visible()
        expect(shown).to_contain_text(WHY)
        expect(
            page.get_by_role("heading", name=re.compile("Mammogram R MLO: not read"))
        ).to_be_visible()
