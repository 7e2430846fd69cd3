"""A reading as a folder of files."""

from __future__ import annotations

from pathlib import Path

from mammosono.appliance.output.document import result_json
from mammosono.appliance.output.render import grey_png, mask_png, overlay_png
from mammosono.appliance.output.report import html_report
from mammosono.appliance.values import Reading


def save_reading(folder: Path, study_id: str, reading: Reading) -> None:
    """Write result.json, report.html, and original, denoised, overlay and mask of every image.

    The pictures are PNG of the size of the image as posted, `overlay_0.png` being that of the
    image with index 0. Files of these names are overwritten. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(result_json(study_id, reading) + "\n", "utf-8")
    (folder / "report.html").write_text(html_report(study_id, reading), "utf-8")
    for image, pictures in zip(reading.images, reading.pictures, strict=True):
        index = image.index
        (folder / f"original_{index}.png").write_bytes(grey_png(pictures.original))
        (folder / f"denoised_{index}.png").write_bytes(grey_png(pictures.denoised))
        (folder / f"overlay_{index}.png").write_bytes(overlay_png(pictures, image))
        (folder / f"mask_{index}.png").write_bytes(mask_png(image))
