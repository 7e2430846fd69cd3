"""The report printed by a Chromium that is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S = 120


def print_pdf(html: Path, pdf: Path) -> None:
    """Raises ValueError if no Chromium is found or it does not print."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise ValueError(
            "no Chromium for --pdf: install chromium, or print the HTML from a browser"
        )
    with TemporaryDirectory() as profile:
        command = [browser, "--headless", "--disable-gpu", "--no-sandbox", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={pdf.resolve()}"]
        try:
            done = subprocess.run(
                [*command, html.resolve().as_uri()],
                capture_output=True, check=False, timeout=LIMIT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"Chromium did not print within {LIMIT_S} s") from None
    if done.returncode or not pdf.is_file():
        raise ValueError("Chromium could not print the report; print the HTML from a browser")
