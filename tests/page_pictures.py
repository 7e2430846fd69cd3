"""Draw docs/images/page-*.png anew: the page with the real reader and phantoms, nobody's images.

`python tests/page_pictures.py [FOLDER]`
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from page_bench import DESK, LAPTOP, Visit, chromium, image, visit
from playwright.sync_api import Browser, expect
from service_bench import serving, until

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import FILE, Tokens
from mammosono.appliance.values import Label, Modality

MG, US = Modality.MG, Modality.US


def drawn(modality: Modality, seed: int, label: Label) -> bytes:
    height, width = (1024, 640) if modality is MG else (480, 560)
    return grey_png(phantom(modality, seed, label, height=height, width=width).pixels)


MLO, CC = (drawn(MG, seed, Label.MALIGNANT) for seed in (3, 8))
CALM = drawn(MG, 4, Label.BENIGN)
SOUND = drawn(US, 5, Label.BENIGN)


@contextmanager
def signed_in(
    browser: Browser, client: httpx.Client, secret: str, size: dict[str, int]
) -> Iterator[Visit]:
    with visit(browser, client, viewport=size) as seen:
        seen.expected.append("401")
        seen.page.get_by_label("Token").fill(secret)
        seen.page.keyboard.press("Enter")
        expect(seen.page.locator(".choose")).to_be_visible()
        yield seen


def fill_list(client: httpx.Client, secret: str) -> None:
    bad = b"finding: none"
    for name, parts in {
        "ward-2-0409": [("mammogram", CALM)],
        "ward-2-0410": [("mammogram", CALM), ("ultrasound", SOUND)],
        "ward-2-0411": [("mammogram", bad), ("ultrasound", SOUND)],
        "ward-2-0412": [("mammogram", MLO), ("mammogram", CC), ("ultrasound", SOUND)],
    }.items():
        headers = {"Authorization": f"Bearer {secret}"}
        client.post("/v1/studies", files=parts, data={"study_id": name}, headers=headers)


def show(seen: Visit, study: str, pictures: int) -> None:
    seen.page.evaluate("id => { location.hash = `study=${id}` }", study)
    expect(seen.page.locator(".banner .id")).to_have_text(study)
    expect(seen.page.locator(".stage img")).to_have_count(pictures)
    seen.page.mouse.move(5, 5)


def main(folder: Path) -> None:
    assert read_image(MLO, MG).height == 1024
    with tempfile.TemporaryDirectory() as state, chromium() as browser:
        secret = Tokens(Path(state) / FILE).add("ward-2", [Role.WORKSTATION])
        with serving(None, state=state) as client:
            until(lambda: client.get("/readyz").status_code == 200)
            fill_list(client, secret)

            def shot(seen: Visit, name: str) -> None:
                seen.page.wait_for_timeout(400)
                seen.page.screenshot(path=folder / f"page-{name}.png")

            with visit(browser, client, viewport=LAPTOP) as seen:
                seen.expected.append("401")
                expect(seen.page.get_by_label("Token")).to_be_focused()
                shot(seen, "sign-in")
            with signed_in(browser, client, secret, LAPTOP) as seen:
                seen.choose("mammogram", image("L-MLO.png", MLO), image("L-CC.png", CC))
                seen.choose("ultrasound", image("L-US.png", SOUND))
                shot(seen, "new")
                show(seen, "ward-2-0412", 3)
                seen.page.keyboard.press("j")
                seen.page.keyboard.press("z")
                shot(seen, "finding")
                show(seen, "ward-2-0409", 1)
                shot(seen, "incomplete")
                show(seen, "ward-2-0411", 0)
                shot(seen, "refused")
            with signed_in(browser, client, secret, DESK) as seen:
                show(seen, "ward-2-0412", 3)
                shot(seen, "reading")


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parent.parent / "docs" / "images"))
