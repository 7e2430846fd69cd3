"""Store of samples: decoded, cropped and denoised once for all runs that ask for the same."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import mammosono.appliance.api
from mammosono.appliance.values import Label
from mammosono.tools.data.index import Record
from mammosono.tools.data.sample import Sample, SampleLesion


@dataclass(frozen=True)
class SampleStore:
    """One .npz a sample, named by all that it is made of: the bytes of its files, the truth of the
    index, what is made of them, and this program's own code. What no run asks for any more is not
    removed: delete the folder.

    made: what the samples are besides their record, such as the canvas and the denoiser's SHA-256.
    """

    folder: Path
    made: str

    def sample(self, record: Record, make: Callable[[Record], Sample]) -> Sample:
        """The sample as `make` gives it, kept after the first time. Raises as `make`, and OSError
        if the folder cannot be written."""
        try:
            path = self.folder / f"{self._key(record)}.npz"
        except OSError:
            return make(record)  # which says what is wrong with its files
        sample = _read(path, record)
        if sample is None:
            sample = make(record)
            self._write(path, sample)
        return sample

    def _key(self, record: Record) -> str:
        truth = (record.modality, record.label, record.lesions, record.denoised)
        whole = hashlib.sha256(f"{self.made} {self._code} {truth}".encode())
        for file in (record.image, *record.masks):
            whole.update(hashlib.sha256(file.read_bytes()).digest())
        return whole.hexdigest()

    @cached_property
    def _code(self) -> str:
        """Of the intake, the pipeline and the samples: other code may make other samples."""
        whole = hashlib.sha256()
        appliance = Path(mammosono.appliance.api.__file__).parents[1]
        for folder in (appliance / "intake", appliance / "pipeline", Path(__file__).parent):
            for file in sorted(folder.rglob("*.py")):
                whole.update(file.read_bytes())
        return whole.hexdigest()

    def _write(self, path: Path, sample: Sample) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        kinds = [lesion.label.value if lesion.label else "" for lesion in sample.lesions]
        arrays: dict[str, Any] = {f"view{k}": view for k, view in enumerate(sample.views)}
        arrays |= {f"mask{k}": lesion.mask for k, lesion in enumerate(sample.lesions)}
        arrays |= {
            "enlarge": sample.enlarge,
            "kinds": np.array(kinds, np.str_),
            "exact": [lesion.exact for lesion in sample.lesions],
        }
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        part.replace(path)


def _read(path: Path, record: Record) -> Sample | None:
    """None where it is not there, or not whole."""
    try:
        with path.open("rb") as file, np.load(file) as kept:
            arrays = {name: kept[name] for name in kept.files}
        lesions = tuple(
            SampleLesion(Label(kind) if kind else None, arrays[f"mask{k}"], bool(exact))
            for k, (kind, exact) in enumerate(zip(arrays["kinds"], arrays["exact"], strict=True))
        )
        views = tuple(arrays[f"view{k}"] for k in range(sum(n.startswith("view") for n in arrays)))
        enlarge = float(arrays["enlarge"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return Sample(record.modality, record.label, record.source, views, lesions, enlarge)
