"""A configuration file: a preset and what is changed, every field by its name."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mammosono.tools.network.config import PRESETS, TrainConfig, preset, read_settings, train_config


def written(folder: Path, entry: Any) -> Path:
    path = folder / "settings.json"
    path.write_text(json.dumps(entry))
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_may_name_a_preset_alone(tmp_path: Path, name: str) -> None:
    assert read_settings(written(tmp_path, {"preset": name})) == preset(name)


def test_a_file_changes_fields_at_every_depth_and_leaves_the_others(tmp_path: Path) -> None:
    changes = {
        "preset": "middle",
        "epochs": 7,
        "learning_rate": 1,
        "loss": {"box_alpha": 1.5},
        "network": {"stage_strides": [1, 2, 2, 1], "geometry": {"pyramid_strides": [4, 8, 16, 16]}},
    }
    middle = preset("middle")
    geometry = replace(middle.network.geometry, pyramid_strides=(4, 8, 16, 16))
    assert read_settings(written(tmp_path, changes)) == replace(
        middle,
        epochs=7,
        learning_rate=1.0,
        loss=replace(middle.loss, box_alpha=1.5),
        network=replace(middle.network, stage_strides=(1, 2, 2, 1), geometry=geometry),
    )


def test_the_preset_that_is_asked_for_goes_before_the_files_own(tmp_path: Path) -> None:
    path = written(tmp_path, {"preset": "middle", "epochs": 7})
    assert read_settings(path, "paper") == replace(preset("paper"), epochs=7)
    assert read_settings(written(tmp_path, {})) == preset("compact")


def test_the_file_of_a_run_is_a_configuration_file(tmp_path: Path) -> None:
    config = replace(preset("paper"), seed=5, micro_batch=None)
    entry = {**asdict(config), "data": {"index_sha256": "x"}, "software": {"torch": "2"}}
    assert read_settings(written(tmp_path, entry)) == config


def test_the_file_of_a_run_of_the_first_version_is_one_too(tmp_path: Path) -> None:
    entry = {**asdict(preset("compact")), "batch_size": 4, "accumulate": 25}
    for name in ("micro_batch", "precision", "views"):
        del entry[name]
    expected = replace(preset("compact"), batch_size=100, micro_batch=4)
    assert read_settings(written(tmp_path, entry), "paper") == expected


def test_every_field_of_every_preset_survives_being_printed() -> None:
    for name in PRESETS:
        assert train_config(json.loads(json.dumps(asdict(preset(name))))) == preset(name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": 3}, "there is no field epoch"),
        ({"network": {"depth": 3}}, "there is no field network.depth"),
        ({"network": {"geometry": {"stride": 3}}}, "there is no field network.geometry.stride"),
        ({"network": 3}, "network is not an object of fields"),
        ({"network": {"geometry": 3}}, "network.geometry is not an object of fields"),
        ({"network": {"backbone": "vgg"}}, "network.backbone is none of efficientnet_lite0, res"),
        ({"epochs": 2.5}, "epochs is not a whole number"),
        ({"epochs": True}, "epochs is not a whole number"),
        ({"epochs": 0}, "epochs is at least 1"),
        ({"patch": [320, 300]}, "patch has sides that are multiples of 32, from 64 on"),
        ({"learning_rate": "high"}, "learning_rate is not a number"),
        ({"pretrained": 1}, "pretrained is not true or false"),
        ({"percentiles": [1]}, "percentiles takes 2 values, not 1"),
        ({"percentiles": 1}, "percentiles is not a list"),
        ({"micro_batch": "4"}, "micro_batch is not a whole number"),
        ({"network": {"geometry": {"anchor_sizes": [[8, "x"]]}}}, "anchor_sizes is not a number"),
        ({"preset": "large"}, "preset is none of compact"),
        ({"learning_rate": float("nan")}, "learning_rate is a number above 0"),
        ({"std": 0}, "percentiles, mean and std are not those of grey levels"),
        ({"mean": float("nan")}, "percentiles, mean and std are not those of grey levels"),
        ({"percentiles": [99, 1]}, "percentiles, mean and std are not those of grey levels"),
        ({"network": {"geometry": {"min_box_px": float("nan")}}}, "min_box_px needs finite"),
        ({"accumulate": 2}, "accumulate needs a batch_size beside it"),
        ({"accumulate": "2", "batch_size": 4}, "accumulate needs a batch_size beside it"),
        ([], "not an object of fields"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_its_field(
    tmp_path: Path, changes: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")) as caught:
        read_settings(written(tmp_path, changes))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{epochs: 3}")
    with pytest.raises(ValueError, match="is not JSON"):
        read_settings(path)


def test_a_configuration_that_cannot_be_trained_is_refused() -> None:
    for changes in ({"batch_size": 0}, {"phantom_share": 1.5}, {"micro_batch": 0}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            replace(preset("compact"), **changes)
    assert isinstance(preset("compact"), TrainConfig)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"percentiles": [1, 2, 3]}, "percentiles takes 2 values, not 3"),
        ({"network": {"stage_strides": [1]}}, "network.stage_strides takes 4 values, not 1"),
        ({"optimizer": 3}, "optimizer is none of adam or adamw"),
        ({"loss": {"box_alpha": "2"}}, "loss.box_alpha is not a number"),
        ({"micro_batch": 0}, "micro_batch is at least 1"),
        ({"network": {"geometry": {"rpn_strides": [8]}}}, "anchor_sizes needs one entry for each"),
    ],
)
def test_values_are_refused_at_every_depth_and_strictly(
    tmp_path: Path, changes: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        read_settings(written(tmp_path, changes))


def test_a_run_without_a_network_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^network is missing$"):
        train_config({"epochs": 3})
