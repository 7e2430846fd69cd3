"""The page in a real Chromium with the real reader: phantoms in, their reading on the screen."""

from __future__ import annotations

from page_bench import image, needs_chromium, visit
from playwright.sync_api import Browser, expect
from service_bench import serving, until

from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality

pytestmark = needs_chromium


def test_a_pair_of_phantoms_is_read_on_the_page(browser: Browser) -> None:
    mammogram = phantom(Modality.MG, 3, Label.MALIGNANT, height=320, width=240)
    ultrasound = phantom(Modality.US, 5, Label.BENIGN, height=240, width=280)
    with serving(None, threads=1) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        with visit(browser, client) as seen:
            page = seen.page
            seen.choose("mammogram", image("mlo.png", grey_png(mammogram.pixels)))
            seen.choose("ultrasound", image("us.png", grey_png(ultrasound.pixels)))
            page.get_by_label("Reference").fill("phantoms")
            seen.send()
            expect(page.locator(".stage img")).to_have_count(2)
            result = client.get("/v1/studies/phantoms").json()
            assert result["verdict"].upper() in seen.verdict()
            count = sum(len(one["findings"]) for one in result["images"])
            expect(page.locator(".findings tbody tr")).to_have_count(count)
            expect(page.locator(".region")).to_have_count(count)
            assert result["model"]["version"] in page.locator(".foot").inner_text()
            page.get_by_role("button", name="Denoised").click()
            expect(page.locator(".stage img:visible")).to_have_count(2)
            for one in result["images"]:
                words = page.locator(".of-image").nth(one["index"]).inner_text()
                assert f"score {one['score']:.3f}" in words
                assert one["verdict"] in words
