"""A phantom exam, read, and what is made of it in a PACS: python demo_pacs.py [--once].

Orthanc runs with a configuration, ports and a folder of its own, all of them gone afterwards.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import images
import numpy as np
import orthanc
from conftest import listening
from counterparts import dimse, until
from PIL import Image
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from mammosono.appliance.commands.kit import Console
from mammosono.appliance.intake import read_image
from mammosono.appliance.node import sender
from mammosono.appliance.node.outbox import Outbox, State
from mammosono.appliance.output.render import overlay_png
from mammosono.appliance.output.terminal import print_reading
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Modality
from mammosono.engines.options import EngineOptions


def main(*, once: bool) -> int:
    if why := orthanc.missing():
        say(why)
        return 1
    with tempfile.TemporaryDirectory(prefix="mammosono-pacs-") as name, listening() as answers:
        folder = Path(name)
        outbox = answers.outbox = Outbox(folder / "outbox")
        with orthanc.orthanc(folder / "pacs", box_port=answers.port) as pacs:
            say(f"Orthanc runs: {pacs.url}/app/explorer.html, DICOM port {pacs.port}")
            exam = phantom_exam()
            with sender.running(outbox, [dimse(pacs.port)]):
                outbox.put("exam", "pacs", exam)
                outbox.put("exam", "pacs", pictures(exam, folder))
                until(lambda: all(each.state is State.COMMITTED for each in outbox.entries()), 120)
            show(pacs)
            if not once:
                webbrowser.open(f"{pacs.url}/app/explorer.html")
                say("Ctrl-C ends it, and removes all of it.")
                with contextlib.suppress(KeyboardInterrupt):
                    while True:
                        time.sleep(1)
        outbox.close()
    return 0


def phantom_exam() -> list[Dataset]:
    """A mammogram and, days later, an ultrasound of one invented patient."""
    mammogram = demo_phantom(Modality.MG).pixels
    return [
        images.mammogram("L", "MLO", patient="DEMO", name="Phantom^Demo", pixels=mammogram),
        images.ultrasound(
            patient="DEMO", name="Phantom^Demo", pixels=demo_phantom(Modality.US).pixels
        ),
    ]


def pictures(exam: Sequence[Dataset], folder: Path) -> list[Dataset]:
    """Of each image one with what was found, for its study."""
    files = [images.save(each, folder) for each in exam]
    with Reader.open(None, EngineOptions()) as reader:
        given = [
            read_image(file.read_bytes(), Modality(each.Modality))
            for file, each in zip(files, exam, strict=True)
        ]
        reading = reader.read(given)
    print_reading(Console(), "demo", reading)
    made = []
    for source, shown, image in zip(exam, reading.pictures, reading.images, strict=True):
        rgb = np.asarray(Image.open(io.BytesIO(overlay_png(shown, image))).convert("RGB"))
        made.append(picture(source, rgb))
    return made


def picture(source: Dataset, rgb: np.ndarray) -> Dataset:
    """A Secondary Capture in the study of its image."""
    made = orthanc.capture(1, pixels=rgb[:, :, 0])
    for keyword in (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "IssuerOfPatientID"),
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    ):
        setattr(made, keyword, source[keyword].value)
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = images.uid(source.SOPInstanceUID, "picture")
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesInstanceUID = images.uid(source.StudyInstanceUID, "pictures")
    made.SeriesDescription = "mammosono (AI, research)"
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
    made.PlanarConfiguration = 0
    data = np.ascontiguousarray(rgb).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    return made


def show(pacs: orthanc.Orthanc) -> None:
    """What the PACS has, a line a series."""
    for study in pacs.get("/studies?expand"):
        say(f"Study of {study['MainDicomTags'].get('StudyDate')}:")
        for name in study["Series"]:
            series = pacs.get(f"/series/{name}")
            tags = series["MainDicomTags"]
            count = len(series["Instances"])
            say(f"  {tags['Modality']}  {count}  {tags.get('SeriesDescription', '')}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(once="--once" in sys.argv[1:]))
