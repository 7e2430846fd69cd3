"""Manifest of schema 1, read as one of schema 2: one network that serves every modality.

    {"schema": 1, "name", "version", "geometry", "normalisation", "parity", "training",
     "stages": {STAGE: {"file", "sha256", "inputs", "outputs", "fp32", "mixed": file}},
     "image_score": {MODALITY: {"head_weight"}}, "finding_thresholds": {MODALITY: x},
     "operating_points": {MODALITY: x}}

Bundles of schema 1 were of one kind, so what a manifest of schema 2 says of its network stands
here. No other file of `engines` knows one.
"""

from typing import Any, Dict, Mapping

KIND = "refined-mask-rcnn/1"

# About ten times what the shipped bundle changes by when every tensor in it is rounded to half
# precision: room for kernels that add up in half precision too, none for a broken one.
TOLERANCES: Dict[str, Dict[str, float]] = {
    # Logits: which anchors propose, and how sure they are where it matters.
    "objectness": {"overlap": 0.9, "largest_of_best": 0.25},
    # In sides of the anchor, and logarithms of its size: 0.02 moves a box of 100 px by 2.
    "deltas": {"largest_of_best": 0.02},
    # Probabilities.
    "image_classes": {"largest": 0.05},
    "classes": {"largest": 0.05},
    "masks": {"largest": 0.15, "mean": 0.01},
    # In tenths of the proposal's side and fifths of its logarithm: 0.15 is 1.5 px of 100.
    "box_deltas": {"largest": 0.15},
    # In standard deviations of the noise that is being removed.
    "noise": {"largest": 0.25, "mean": 0.01},
}
"""By output of this kind's stages; `export` writes them into the manifests of schema 2."""

_DENOISE = {"MG": "denoise_mg"}


def upgraded(manifest: Mapping[str, Any]) -> Dict[str, Any]:
    """The same in schema 2; what is missing or malformed stays so.

    The one network is called as the bundle is. Stages keep their plain names, for which plans lie
    on the devices: `open_bundle` does not put the network's name before them.
    """
    stages = manifest.get("stages")
    network = {key: manifest[key] for key in ("geometry", "normalisation") if key in manifest}
    if isinstance(stages, dict):
        stages = {name: _stage(entry) for name, entry in stages.items()}
    network["stages"] = stages
    numbers = {
        key: _by_modality(manifest, key)
        for key in ("image_score", "finding_thresholds", "operating_points")
    }
    modalities: Dict[str, Dict[str, Any]] = {}
    for code in sorted({code for each in numbers.values() for code in each}):
        modalities[code] = entry = {"network": manifest.get("name")}
        if code in numbers["finding_thresholds"]:
            entry["finding_threshold"] = numbers["finding_thresholds"][code]
        if code in numbers["operating_points"]:
            entry["operating_point"] = numbers["operating_points"][code]
        if isinstance(numbers["image_score"].get(code), dict):
            entry["score"] = dict(numbers["image_score"][code], rule="head-and-finding")
        if isinstance(stages, dict) and _DENOISE.get(code) in stages:
            entry["denoise"] = _DENOISE[code]
    kept = {k: v for k, v in manifest.items() if k not in numbers and k not in ("stages", "schema")}
    return dict(
        kept, schema=2, kind=KIND, networks={manifest.get("name"): network}, modalities=modalities
    )


def _stage(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    stage = {key: value for key, value in entry.items() if key != "mixed"}
    if entry.get("mixed") is not None:
        stage["variants"] = {"mixed": entry["mixed"]}
    if isinstance(entry.get("outputs"), dict):
        named = set(entry["outputs"]) & set(TOLERANCES)
        stage["tolerances"] = {name: TOLERANCES[name] for name in sorted(named)}
    return stage


def _by_modality(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}
