"""A configuration from its printed form: JSON in, frozen values out, every field checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.tools.network.config import PRESETS, TrainConfig, preset

T = TypeVar("T")

_NOT_SETTINGS = ("preset", "data", "software")
"""Of a file: where to start from, and what a run folder's file records beside the settings."""


def train_config(entry: Mapping[str, Any]) -> TrainConfig:
    """All settings of a printed configuration; those that an earlier version had not get their
    defaults, but a geometry is whole or refused.

    Raises KeyError, TypeError or ValueError that names the field.
    """
    if not isinstance(entry, Mapping):
        raise TypeError("it is not an object of fields")
    settings = {k: v for k, v in entry.items() if k not in _NOT_SETTINGS}
    if "accumulate" in settings:  # until 0.1: images a pass, and passes a step
        passes = settings.pop("accumulate")
        settings["micro_batch"] = settings["batch_size"] if passes > 1 else None
        settings["batch_size"] *= passes
    network = settings.get("network")
    geometry = network.get("geometry") if isinstance(network, Mapping) else None
    if isinstance(geometry, Mapping):
        missing = {f.name for f in fields(Geometry)} - set(geometry)
        if missing:
            raise KeyError(f"network.geometry.{min(missing)} is missing")
    return _built(TrainConfig, settings, "")


def read_settings(path: Path, start: str | None = None) -> TrainConfig:
    """A configuration file: a preset's name under "preset" (compact if none is named), and the
    fields that are changed, nested as config.json of a run has them; or such a config.json.

    start: the preset to start from in place of the file's own.
    Raises OSError, and ValueError that names the field.
    """
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"the configuration file is not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ValueError("the configuration file is not an object of fields")
    name = start or entry.get("preset", "compact")
    if name not in PRESETS:
        raise ValueError(f"preset is none of {', '.join(PRESETS)}")
    if "accumulate" in entry:
        entry = asdict(_whole(entry))
    settings = {k: v for k, v in entry.items() if k not in _NOT_SETTINGS}
    start_from: dict[str, Any] = asdict(preset(name))
    return _whole(_merged(start_from, settings))


def _whole(entry: Mapping[str, Any]) -> TrainConfig:
    try:
        return train_config(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the configuration file: {error.args[0]}") from None


def _merged(start: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(start)
    for name, value in changes.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        merged[name] = value
    return merged


def _built(kind: type[T], entry: Any, where: str) -> T:
    if not isinstance(entry, Mapping):
        raise TypeError(f"{where[:-1]} is not an object of fields")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for name in entry:
        if name not in known:
            raise ValueError(f"there is no field {where}{name}")
    values = {}
    for name, described in known.items():
        if name in entry:
            values[name] = _value(hints[name], entry[name], f"{where}{name}")
        elif described.default is MISSING and described.default_factory is MISSING:
            raise KeyError(f"{where}{name} is missing")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """The value as its type hint has it. Raises TypeError or ValueError."""
    if is_dataclass(hint):
        return _built(hint, value, f"{where}.")  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is none of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, UnionType):
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple:
        return _sequence(arguments, value, where)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(value)
    if type(value) is hint:
        return value
    raise TypeError(f"{where} is not {_WORDS[hint]}")


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _sequence(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{where} is not a list")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ValueError(f"{where} takes {len(arguments)} values, not {len(value)}")
    return tuple(_value(kind, v, where) for kind, v in zip(arguments, value, strict=True))
