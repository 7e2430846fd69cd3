"""Draw docs/images/page-*.png and reading.png anew: the page and a report, with the real reader and
phantoms, nobody's images.

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
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.intake import read_image
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import FILE, Tokens
from mammosono.appliance.values import Label, Modality

MG, US = Modality.MG, Modality.US
REPORT = {"width": 1000, "height": 1010}


def drawn(modality: Modality, seed: int, label: Label) -> bytes:
    height, width = (1024, 640) if modality is MG else (480, 560)
    return grey_png(phantom(modality, seed, label, height=height, width=width).pixels)


RIGHT_MLO = drawn(MG, 3, Label.MALIGNANT)
CALM = drawn(MG, 2, Label.BENIGN)
SOUND = drawn(US, 5, Label.BENIGN)
FILMS = [
    ("R-MLO.png", RIGHT_MLO),
    ("R-CC.png", drawn(MG, 1, Label.BENIGN)),
    ("L-MLO.png", drawn(MG, 11, Label.BENIGN)),
    ("L-CC.png", drawn(MG, 13, Label.BENIGN)),
]
SCANS = [
    ("R-1.png", SOUND),
    ("R-2.png", drawn(US, 6, Label.BENIGN)[:-4000]),
    ("L-1.png", drawn(US, 7, Label.BENIGN)),
]
"""The second one is cut short."""


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
    films = [("mammogram", film) for film in FILMS]
    scans = [("ultrasound", scan) for scan in SCANS]
    one, calm = ("ultrasound", SCANS[0]), ("mammogram", ("R-MLO.png", CALM))
    for name, parts in {
        "ward-2-0408": [("mammogram", ("R-MLO.png", b"finding: none"))],
        "ward-2-0409": [calm],
        "ward-2-0410": [calm, one],
        "ward-2-0411": [calm, *scans[:2]],
        "ward-2-0412": [*films, *scans],
    }.items():
        fields = {"study_id": name}
        headers = {"Authorization": f"Bearer {secret}"}
        client.post("/v1/studies", files=parts, data=fields, headers=headers)


def show(seen: Visit, study: str, pictures: int) -> None:
    seen.page.evaluate("id => { location.hash = `study=${id}` }", study)
    expect(seen.page.locator(".banner .id")).to_have_text(study)
    expect(seen.page.locator(".stage img")).to_have_count(pictures)
    seen.page.mouse.move(5, 5)


def report(browser: Browser, folder: Path) -> None:
    """Of `mammosono read`, as README shows it."""
    with tempfile.TemporaryDirectory() as made:
        arguments = ["read", "--out", made]
        posted = [("--mammogram", FILMS[0]), *(("--ultrasound", scan) for scan in SCANS[:2])]
        for option, (name, data) in posted:
            (Path(made) / name).write_bytes(data)
            arguments += [option, str(Path(made) / name)]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        page = browser.new_page(viewport=REPORT)
        page.goto((Path(made) / "report.html").as_uri())
        page.screenshot(path=folder / "reading.png")


def main(folder: Path) -> None:
    assert read_image(RIGHT_MLO, MG).height == 1024
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
                seen.choose("mammogram", *(image(*film) for film in FILMS))
                seen.choose("ultrasound", *(image(*scan) for scan in SCANS[::2]))
                shot(seen, "new")
                show(seen, "ward-2-0412", 6)
                seen.page.keyboard.press("j")
                seen.page.keyboard.press("z")
                shot(seen, "finding")
                show(seen, "ward-2-0409", 1)
                shot(seen, "incomplete")
                show(seen, "ward-2-0411", 2)
                seen.page.get_by_role("tab", name="not read").click()
                shot(seen, "unread")
                show(seen, "ward-2-0408", 0)
                shot(seen, "refused")
            with signed_in(browser, client, secret, DESK) as seen:
                show(seen, "ward-2-0412", 6)
                shot(seen, "reading")
        report(browser, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parent.parent / "docs" / "images"))
