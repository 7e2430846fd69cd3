"""Public Python API of mammosono: a study's images in, a reading out.

    from pathlib import Path
    from mammosono import Modality, Reader, read_image

    with Reader.open() as reader:
        images = [read_image(Path("mlo.dcm").read_bytes(), Modality.MG)]
        print(reader.read(images).verdict)

What stands in `__all__` changes only with a version; everything else is ours to move. A name is
imported when it is asked for: the command line and the engines are below this package too, and
need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mammosono.appliance import __version__
    from mammosono.appliance.errors import ApplianceError, IntakeError, ModelFault, ModelUnavailable
    from mammosono.appliance.intake import read_image
    from mammosono.appliance.output.document import Result
    from mammosono.appliance.output.report import html_report
    from mammosono.appliance.output.save import save_reading
    from mammosono.appliance.pipeline.reader import Reader
    from mammosono.appliance.values import (
        Finding,
        ImageReading,
        Label,
        Modality,
        Reading,
        SourceImage,
        Verdict,
    )
    from mammosono.engines.options import EngineOptions

_MODULES = {
    ".": ("__version__",),
    ".errors": ("ApplianceError", "IntakeError", "ModelFault", "ModelUnavailable"),
    ".intake": ("read_image",),
    ".output.document": ("Result",),
    ".output.report": ("html_report",),
    ".output.save": ("save_reading",),
    ".pipeline.reader": ("Reader",),
    ".values": (
        "Finding", "ImageReading", "Label", "Modality", "Reading", "SourceImage", "Verdict",
    ),
    "..engines.options": ("EngineOptions",),
}  # fmt: skip

__all__ = [
    "ApplianceError",
    "EngineOptions",
    "Finding",
    "ImageReading",
    "IntakeError",
    "Label",
    "Modality",
    "ModelFault",
    "ModelUnavailable",
    "Reader",
    "Reading",
    "Result",
    "SourceImage",
    "Verdict",
    "__version__",
    "html_report",
    "read_image",
    "save_reading",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module, "mammosono.appliance"), name)
    raise AttributeError(f"module 'mammosono' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
