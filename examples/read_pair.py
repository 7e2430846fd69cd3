"""Read a mammogram and an ultrasound in this Python, without a service.

    python examples/read_pair.py mlo.dcm us.png --out reading

Prints the fused verdict and every finding; `reading/` gets the document, pictures and the report.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mammosono import IntakeError, Modality, Reader, read_image, save_reading


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mammogram", type=Path)
    parser.add_argument("ultrasound", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reading"))
    options = parser.parse_args()
    try:
        images = [
            read_image(options.mammogram.read_bytes(), Modality.MG),
            read_image(options.ultrasound.read_bytes(), Modality.US),
        ]
    except IntakeError as error:  # unreadable, too small, not an image: `code` says which
        print(f"{error.code}: {error}", file=sys.stderr)
        return 2
    with Reader.open() as reader:  # the shipped bundle; Reader.open(Path("my-bundle")) is another
        reading = reader.read(images)
    print(f"fused: {reading.verdict.value}")
    for image in reading.images:
        print(f"{image.modality.value}: {image.verdict.value}, score {image.score}")
        for finding in image.findings:
            x0, y0, x1, y1 = (round(v) for v in finding.box)
            print(f"  {finding.label.value} {finding.score:.2f} at ({x0}, {y0}) to ({x1}, {y1})")
        for warning in image.warnings:
            print(f"  ! {warning}")
    save_reading(options.out, "example", reading)
    return 0


if __name__ == "__main__":
    sys.exit(main())
