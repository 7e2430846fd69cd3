"""Denoised copies of the prepared pictures, as the network's input: cropped, reduced.

As in the paper the noise goes before the network's own resizing; as on the device a picture much
larger than the network's input is area-reduced first, which keeps the noise model (ADR 6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

import mammosono.appliance.pipeline
from mammosono.appliance.output.rle import decode
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.values import Label, Modality, Rle
from mammosono.tools.data.index import LesionMark, mark_text, parse_mark
from mammosono.tools.prepare.files import read_picture
from mammosono.tools.prepare.item import (
    Entry,
    Item,
    Loaded,
    Offer,
    Remark,
    SourceLesion,
    StoredLesion,
)
from mammosono.tools.prepare.outputs import Placed, write_outputs
from mammosono.tools.prepare.run import Tally, store_all

_LOST = "a lesion lies outside the breast that was found"


def denoised_folder(out: Path, size: tuple[int, int]) -> Path:
    return out / f"denoised-{size[0]}x{size[1]}"


def write_denoised(
    placed: Sequence[Placed],
    out: Path,
    size: tuple[int, int],
    *,
    seed: int,
    kept: bool,
    on_progress: Callable[[str, int, int], None],
    threads: int = 2,
) -> Tally:
    """Write denoised-HxW below `out`: pictures, masks, index, VIA and COCO, with the same splits.

    size: (height, width) of the network's input. A picture is made anew only if its source's
    sha256, its lesions, the size or the denoiser has changed. Raises OSError.
    """
    folder = denoised_folder(out, size)
    items = (_item(one.entry, out, size, threads) for one in placed)
    tally = Tally()
    entries = store_all([("denoising", Offer(len(placed), items))], folder, tally, on_progress)
    places = {one.entry.name: one for one in placed}
    again = [replace(places[entry.name], entry=entry) for entry in entries]
    write_outputs(folder, again, seed, kept)
    return tally


@lru_cache(maxsize=1)
def denoiser_version() -> str:
    """SHA-256 of the code that crops, reduces and denoises: its parameters stand in it."""
    digest = hashlib.sha256()
    code = Path(mammosono.appliance.pipeline.__file__).parent
    for path in (*sorted((code / "denoise").glob("*.py")), code / "detector" / "frame.py"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _item(entry: Entry, out: Path, size: tuple[int, int], threads: int) -> Item:
    truth = json.dumps([(one.label, one.mark, one.rle) for one in entry.lesions])
    return Item(
        name=entry.name,
        modality=Modality(entry.modality),
        label=entry.label,
        case=entry.case,
        source=entry.source,
        licence=entry.licence,
        split=entry.split,
        stamp=f"{denoiser_version()}|{size[0]}x{size[1]}|{entry.sha256}|{truth}",
        load=partial(_load, entry, out, size, threads),
        denoised=True,
    )


def _load(entry: Entry, out: Path, size: tuple[int, int], threads: int) -> Loaded:
    modality = Modality(entry.modality)
    picture = read_picture(out / entry.image, modality)
    place = frame(picture.pixels, modality, size)
    clean, _ = denoise(
        place.cut(picture.pixels), modality, peak=float(2**picture.bits - 1), threads=threads
    )
    stored = np.rint(clean).astype(picture.pixels.dtype)
    lesions = [_lesion(one, place, (entry.height, entry.width)) for one in entry.lesions]
    remarks = (Remark(_LOST, entry.name),) * lesions.count(None)
    return Loaded(
        replace(picture, pixels=stored, sha256=entry.sha256, encoded=None, suffix=".png"),
        tuple(lesion for lesion in lesions if lesion),
        remarks,
    )


def _lesion(lesion: StoredLesion, place: Frame, size: tuple[int, int]) -> SourceLesion | None:
    """The lesion in the working image; None if the crop lost it."""
    label = Label(lesion.label)
    if lesion.rle:
        mask = place.cut(decode(Rle(size, lesion.rle)).astype(np.uint8)) >= 0.5
        return SourceLesion(label, np.asarray(mask)) if mask.any() else None
    given = parse_mark(lesion.mark)
    x0, y0, *_ = place.crop
    shrink = min(place.scale, 1.0)
    box = tuple((v - o) * shrink for v, o in zip(given.box, (x0, y0, x0, y0), strict=True))
    height, width = place.working_size
    if box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height:
        return None
    moved = LesionMark(label, (box[0], box[1], box[2], box[3]), given.is_circle)
    return SourceLesion(label, mark=mark_text(moved))
