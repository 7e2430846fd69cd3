"""A bundle: one trained model as a folder, its manifest vouching for every file.

    manifest.json   {"schema": 2, "kind": "refined-mask-rcnn/1", "name": ..., "version": ...,
                     "networks": {NETWORK: {"stages": {STAGE: stage}, ...}},
                     "modalities": {CODE: {"network": NETWORK, ...}},
                     "parity": {"file": ..., "sha256": ...}, ...}
    film.trunk.onnx stage: {"file": ..., "sha256": ..., "inputs": tensors, "outputs": tensors}
    ...             tensors: {name: {"dtype": "float32", "shape": [1, 1, 640, 448]}}

What a device builder needs besides, where the bundle is meant for one:

    "variants": {name: {"file": ..., "sha256": ...}}   of a stage: the same graph in other types
    "fp32": [...]   of a stage: its nodes that must not be computed in half precision
    "tolerances": {output: {measure: bound}}   of a stage: how far a plan's answers may be off
    "parity"        of the bundle: inputs and right answers of the stages, an .npz

A stage is called NETWORK.STAGE, so that no two are called alike. What else the manifest holds
(geometry, operating points, provenance) is for the reader of the model's answers; here it is
carried unread. A manifest of schema 1 is read as `engines.schema1` says.
"""

import hashlib
import json
import os
import re
from math import isfinite
from typing import Any, Dict, Mapping, NamedTuple, Optional, Pattern, Tuple, Union

from mammosono.engines.disk import write_whole
from mammosono.engines.errors import BundleError
from mammosono.engines.schema1 import upgraded

MANIFEST = "manifest.json"
SCHEMAS = (1, 2)

MEASURES = ("overlap", "largest", "largest_of_best", "mean", "relative")
"""What the tolerance of an output may bound: see `engines.trt.tolerances`."""

TensorSpec = Tuple[str, Tuple[int, ...]]
"""dtype name as numpy spells it ("float32", "int32") and static shape."""

Folder = Union[str, "os.PathLike[str]"]

_DTYPES = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8", "bool")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z")  # a file name so spelt cannot leave its folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")  # no dot: it parts a network from its stage
_KIND = re.compile(r"[a-z0-9][a-z0-9-]*/[0-9]+\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class File(NamedTuple):
    """A file of the bundle: its path and the SHA-256 of its bytes."""

    path: str
    sha256: str


class Stage(NamedTuple):
    """One static ONNX graph: its path, the SHA-256 of its bytes, inputs and outputs.

    name: qualified, no other stage of the bundle has it; `network` is whose stage it is.
    fp32: names of the nodes that must be computed in single precision.
    variants: the same graph in other types, as "mixed" for a TensorRT that takes half precision
        from the graph.
    tolerances: by output, by measure: the bound of what a compiled plan may be off by.
    """

    name: str
    path: str
    sha256: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    fp32: Tuple[str, ...] = ()
    variants: Mapping[str, File] = {}
    tolerances: Mapping[str, Mapping[str, float]] = {}
    network: str = ""


class Network(NamedTuple):
    """stages: qualified name by the network's own. entry: its part of the manifest, unread but
    for the stages."""

    stages: Mapping[str, str]
    entry: Mapping[str, Any]


class Bundle(NamedTuple):
    """One model, checked. `sha256` of the manifest's bytes is the identity of the whole bundle:
    the manifest holds the hash of every stage.

    manifest: as it is written, of either schema. stages: by qualified name, of all networks.
    parity: inputs and right answers of the stages, an .npz that a freshly built plan is tried on.
    kind: how the stages' answers are to be read. modalities: the manifest's, unread.
    """

    folder: str
    name: str
    version: str
    manifest: Mapping[str, Any]
    stages: Mapping[str, Stage]
    sha256: str
    parity: Optional[File] = None
    kind: str = ""
    networks: Mapping[str, Network] = {}
    modalities: Mapping[str, Any] = {}


def open_bundle(folder: Folder) -> Bundle:
    """Read the manifest of `folder` and check every stage against it.

    Raises BundleError if the manifest is missing, not JSON, of another schema or malformed, if a
    stage's file is missing, lies outside the folder, or hashes to something else.
    """
    # Resolved once: a link to the current bundle may be swung to another while this one is open.
    root = os.path.realpath(folder)
    data = _read(os.path.join(root, MANIFEST))
    bundle = as_bundle(root, _parse(data), hashlib.sha256(data).hexdigest())
    for stage in bundle.stages.values():
        read_stage(stage)
    return bundle


def require_pinned(bundle: Bundle, sha256: Optional[str]) -> None:
    """Raises BundleError if the bundle's hash is not `sha256`; None permits any bundle."""
    if sha256 is not None and bundle.sha256 != sha256:
        raise BundleError(
            "the bundle is not the one that is pinned, its sha256 is %s; install the right one, or "
            "set MAMMOSONO_BUNDLE_SHA256 anew" % bundle.sha256
        )


def as_bundle(root: str, manifest: Mapping[str, Any], sha256: str) -> Bundle:
    """Bundle of a manifest in the folder `root`; the files are not looked at.

    sha256: of the manifest's bytes. Raises BundleError if it is of another schema or malformed.
    """
    schema = manifest.get("schema")
    if type(schema) is not int or schema not in SCHEMAS:
        raise BundleError(
            "%s: its schema is %r and this version reads %s; export the bundle anew or update "
            "the software" % (MANIFEST, schema, " and ".join(str(known) for known in SCHEMAS))
        )
    for key in ("name", "version"):
        _text(manifest.get(key), _WORD, repr(key))
    current = upgraded(manifest) if schema == 1 else manifest
    entries = current.get("networks")
    if not isinstance(entries, dict) or not entries:
        raise _malformed("'networks'")
    networks: Dict[str, Network] = {}
    stages: Dict[str, Stage] = {}
    for name, entry in entries.items():
        if schema != 1:
            _text(name, _NAME, "the name of network %r" % name)
        found = _stages(root, name, entry, qualified=schema != 1)
        networks[name] = Network({own: stage.name for own, stage in found.items()}, entry)
        stages.update({stage.name: stage for stage in found.values()})
    modalities = current.get("modalities")
    if not isinstance(modalities, dict):
        raise _malformed("'modalities'")
    parity = manifest.get("parity")
    return Bundle(
        folder=root,
        name=manifest["name"],
        version=manifest["version"],
        manifest=manifest,
        stages=stages,
        sha256=sha256,
        parity=None if parity is None else _file(root, parity, "'parity'"),
        kind=_text(current.get("kind"), _KIND, "'kind'"),
        networks=networks,
        modalities=modalities,
    )


def with_variant(bundle: Bundle, variant: str) -> Bundle:
    """The bundle with that variant's graphs in the place of its own, where a stage has one.

    Raises BundleError if no stage has it, or if a file of it is missing or damaged.
    """
    chosen = {
        name: stage._replace(
            path=stage.variants[variant].path, sha256=stage.variants[variant].sha256
        )
        for name, stage in bundle.stages.items()
        if variant in stage.variants
    }
    if not chosen:
        raise BundleError("no stage has a variant %r; choose another or export anew" % variant)
    for stage in chosen.values():
        read_stage(stage)
    return bundle._replace(stages=dict(bundle.stages, **chosen))


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
    root = os.path.realpath(folder)
    as_bundle(root, manifest, "")
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
    return manifest


def _stages(root: str, network: str, entry: Any, qualified: bool) -> Dict[str, Stage]:
    """By the network's own names."""
    entries = entry.get("stages") if isinstance(entry, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise _malformed("'stages' of network %r" % network if qualified else "'stages'")
    return {
        _text(own, _NAME if qualified else _WORD, "stage %r" % own): _stage(
            root, network, "%s.%s" % (network, own) if qualified else own, stage
        )
        for own, stage in entries.items()
    }


def _stage(root: str, network: str, name: str, entry: Any) -> Stage:
    what = "stage %r" % name
    if not isinstance(entry, dict):
        raise _malformed(what)
    outputs = _tensors(entry.get("outputs"), "the outputs of " + what)
    return Stage(
        name=name,
        path=os.path.join(root, _text(entry.get("file"), _WORD, "the file name of " + what)),
        sha256=_text(entry.get("sha256"), _SHA256, "the sha256 of " + what),
        inputs=_tensors(entry.get("inputs"), "the inputs of " + what),
        outputs=outputs,
        fp32=_names(entry.get("fp32", []), "the fp32 nodes of " + what),
        variants=_variants(root, entry.get("variants", {}), what),
        tolerances=_tolerances(entry.get("tolerances", {}), outputs, what),
        network=network,
    )


def _variants(root: str, entries: Any, what: str) -> Dict[str, File]:
    if not isinstance(entries, dict):
        raise _malformed("the variants of " + what)
    return {
        _text(name, _NAME, "a variant of " + what): _file(
            root, entry, "the %s graph of %s" % (name, what)
        )
        for name, entry in entries.items()
    }


def _tolerances(
    entries: Any, outputs: Mapping[str, TensorSpec], what: str
) -> Dict[str, Dict[str, float]]:
    """Refuses an output or a measure that it does not know: a plan would go unmeasured by it."""
    what = "the tolerances of " + what
    if not isinstance(entries, dict) or not set(entries) <= set(outputs):
        raise _malformed(what)
    for bounds in entries.values():
        if not isinstance(bounds, dict) or not bounds or not set(bounds) <= set(MEASURES):
            raise _malformed(what)
        if not all(type(b) in (int, float) and isfinite(b) and b >= 0 for b in bounds.values()):
            raise _malformed(what)
    return {name: dict(bounds) for name, bounds in entries.items()}


def _file(root: str, entry: Any, what: str) -> File:
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
