"""The report's slider in a browser: by key and by hand, and without its script."""

from __future__ import annotations

from pathlib import Path

import pytest
import readings
from page_bench import needs_chromium
from playwright.sync_api import Browser, Page

from mammosono.appliance.output.report import html_report

pytestmark = needs_chromium


@pytest.fixture
def report(tmp_path: Path) -> str:
    (tmp_path / "report.html").write_text(html_report("feed", readings.pair()), "utf-8")
    return (tmp_path / "report.html").as_uri()


def shown_share(page: Page) -> float:
    """Of the first image's width, how much is the original."""
    clip = page.evaluate("getComputedStyle(document.querySelector('img.original')).clipPath")
    hidden = clip.removeprefix("inset(0px ").split("% ")[0].removeprefix("calc(").split("%")
    return 100 - sum(float(part.replace(" ", "")) for part in hidden if part)


def test_keys_and_mouse_move_the_border_and_nothing_is_refused(
    browser: Browser, report: str
) -> None:
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(report)
    slider = page.get_by_label("mammogram image 1: share of the picture shown as posted")
    assert not slider.is_visible()
    page.locator("#overlay-0").focus()
    for _ in range(3):  # overlay, original, denoised, compare
        page.keyboard.press("ArrowRight")
    assert slider.is_visible()
    assert shown_share(page) == pytest.approx(50)
    page.keyboard.press("Tab")
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "30"
    assert shown_share(page) == pytest.approx(30)
    box = slider.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    assert shown_share(page) == pytest.approx(80, abs=3)
    assert said == []
    page.close()


def test_without_script_and_on_paper_both_halves_are_there(browser: Browser, report: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report)
    page.locator("label[for=compare-0]").click()
    page.emulate_media(media="print")
    for words in ("original", "denoised"):
        assert page.locator(".pictures").first.get_by_text(words).is_visible()
    for kind in ("original", "denoised"):
        assert page.locator(f"img.{kind}").first.is_visible()
    assert not page.locator("img.overlay").first.is_visible()
    page.context.close()
