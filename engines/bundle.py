"""A bundle: one trained model as a folder, its manifest vouching for every ONNX stage.

    manifest.json   {"schema": 1, "name": ..., "version": ..., "stages": {name: stage}, ...}
    trunk.onnx      stage: {"file": ..., "sha256": ..., "inputs": tensors, "outputs": tensors}
    ...             tensors: {name: {"dtype": "float32", "shape": [1, 1, 640, 448]}}

What a device builder needs besides, where the bundle is meant for one:

    "fp32": [...]   of a stage: its nodes that must not be computed in half precision
    "mixed": {"file": ..., "sha256": ...}    of a stage: the same graph with half-precision types
    "parity": {"file": ..., "sha256": ...}   of the bundle: inputs and right answers, an .npz

What else the manifest holds (geometry, operating points, provenance) is for the reader of the
model's answers; here it is carried unread.
"""

import hashlib
import json
import os
import re
from typing import Any, Dict, Mapping, NamedTuple, Optional, Pattern, Tuple, Union

from mammosono.engines.disk import write_whole
from mammosono.engines.errors import BundleError

MANIFEST = "manifest.json"
SCHEMA = 1

TensorSpec = Tuple[str, Tuple[int, ...]]
"""dtype name as numpy spells it ("float32", "int32") and static shape."""

Folder = Union[str, "os.PathLike[str]"]

_DTYPES = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")  # a file name so spelt cannot leave its folder
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class File(NamedTuple):
    """A file of the bundle: where it lies and what its bytes hash to."""

    path: str
    sha256: str


class Stage(NamedTuple):
    """One static ONNX graph: where it lies, what its bytes hash to, what goes in and out.

    fp32: names of the nodes that must be computed in single precision.
    mixed: the same graph with half-precision types, for a TensorRT that takes them from the graph.
    """

    name: str
    path: str
    sha256: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    fp32: Tuple[str, ...] = ()
    mixed: Optional[File] = None


class Bundle(NamedTuple):
    """One model, checked. `sha256` of the manifest's bytes is the identity of the whole bundle:
    the manifest holds the hash of every stage. `parity`: inputs and right answers of the stages,
    an .npz that a freshly built plan is tried on."""

    folder: str
    name: str
    version: str
    manifest: Mapping[str, Any]
    stages: Mapping[str, Stage]
    sha256: str
    parity: Optional[File] = None


def open_bundle(folder: Folder) -> Bundle:
    """Read the manifest of `folder` and check every stage against it.

    Raises BundleError if the manifest is missing, not JSON, of another schema or malformed, if a
    stage's file is missing, lies outside the folder, or hashes to something else.
    """
    # Resolved once: a link to the current bundle may be swung to another while this one is open.
    root = os.path.realpath(folder)
    data = _read(os.path.join(root, MANIFEST))
    manifest = _parse(data)
    stages = _stages(root, manifest)
    for stage in stages.values():
        read_stage(stage)
    return Bundle(
        folder=root,
        name=manifest["name"],
        version=manifest["version"],
        manifest=manifest,
        stages=stages,
        sha256=hashlib.sha256(data).hexdigest(),
        parity=_file(root, manifest.get("parity"), "'parity'"),
    )


def read_stage(stage: Stage) -> bytes:
    """The bytes of the stage's graph. Raises BundleError as `read_file` does."""
    return read_file(File(stage.path, stage.sha256))


def read_file(file: File) -> bytes:
    """The file's bytes, hashed after they were read: what is returned is what was checked.

    Raises BundleError if the file is missing or its sha256 is not the manifest's.
    """
    data = _read(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise BundleError(
            "%s: its sha256 is not the manifest's; copy the bundle again or export it anew"
            % os.path.basename(file.path)
        )
    return data


def write_manifest(folder: Folder, manifest: Mapping[str, Any]) -> None:
    """Write `manifest` into `folder`, whole or not at all; equal manifests give equal bytes.

    Raises BundleError if `open_bundle` would refuse the layout, or if it cannot be written.
    """
    _check(manifest)
    root = os.path.realpath(folder)
    _stages(root, manifest)
    _file(root, manifest.get("parity"), "'parity'")
    try:
        text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(
            "%s: a value is not JSON; use finite numbers, text, lists and objects" % MANIFEST
        ) from error
    try:
        # Readable by the service's user, who is another than the one who writes it.
        write_whole(os.path.join(root, MANIFEST), (text + "\n").encode("utf-8"), 0o644)
    except OSError as error:
        raise BundleError(
            "%s: it cannot be written (%s); check space and rights" % (MANIFEST, error.strerror)
        ) from error


def _read(path: str) -> bytes:
    name = os.path.basename(path)
    if os.path.dirname(os.path.realpath(path)) != os.path.dirname(path):
        raise BundleError("%s: it links out of the bundle; copy the file itself" % name)
    if not os.path.isfile(path):
        raise BundleError("%s: not found; name a bundle's folder or copy the bundle again" % name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BundleError(
            "%s: it cannot be read (%s); check its rights or copy the bundle again"
            % (name, error.strerror)
        ) from error


def _parse(data: bytes) -> Dict[str, Any]:
    try:
        manifest = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(
            "%s: it is not JSON; copy the bundle again or export it anew" % MANIFEST
        ) from error
    if not isinstance(manifest, dict):
        raise _malformed("the outermost object")
    _check(manifest)
    return manifest


def _check(manifest: Mapping[str, Any]) -> None:
    schema = manifest.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise BundleError(
            "%s: its schema is %r and this version reads %d; export the bundle anew or update "
            "the software" % (MANIFEST, schema, SCHEMA)
        )
    for key in ("name", "version"):
        _text(manifest.get(key), _WORD, repr(key))


def _stages(root: str, manifest: Mapping[str, Any]) -> Dict[str, Stage]:
    entries = manifest.get("stages")
    if not isinstance(entries, dict) or not entries:
        raise _malformed("'stages'")
    return {name: _stage(root, name, entry) for name, entry in entries.items()}


def _stage(root: str, name: str, entry: Any) -> Stage:
    what = "stage %r" % name
    if not isinstance(entry, dict):
        raise _malformed(what)
    return Stage(
        name=_text(name, _WORD, what),
        path=os.path.join(root, _text(entry.get("file"), _WORD, "the file name of " + what)),
        sha256=_text(entry.get("sha256"), _SHA256, "the sha256 of " + what),
        inputs=_tensors(entry.get("inputs"), "the inputs of " + what),
        outputs=_tensors(entry.get("outputs"), "the outputs of " + what),
        fp32=_names(entry.get("fp32", []), "the fp32 nodes of " + what),
        mixed=_file(root, entry.get("mixed"), "the mixed graph of " + what),
    )


def _file(root: str, entry: Any, what: str) -> Optional[File]:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise _malformed(what)
    name = _text(entry.get("file"), _WORD, "the file name of " + what)
    sha256 = _text(entry.get("sha256"), _SHA256, "the sha256 of " + what)
    return File(os.path.join(root, name), sha256)


def _names(entries: Any, what: str) -> Tuple[str, ...]:
    if not isinstance(entries, list) or not all(isinstance(name, str) for name in entries):
        raise _malformed(what)
    return tuple(entries)


def _tensors(entries: Any, what: str) -> Dict[str, TensorSpec]:
    if not isinstance(entries, dict) or not entries:
        raise _malformed(what)
    return {name: _tensor(entry, what) for name, entry in entries.items()}


def _tensor(entry: Any, what: str) -> TensorSpec:
    if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
        raise _malformed("a dtype in " + what)
    shape = entry.get("shape")
    if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n > 0 for n in shape):
        raise _malformed("a shape in " + what)
    return entry["dtype"], tuple(shape)


def _text(value: Any, pattern: Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise _malformed(what)
    return value


def _malformed(what: str) -> BundleError:
    return BundleError("%s: %s is missing or malformed; export the bundle anew" % (MANIFEST, what))
