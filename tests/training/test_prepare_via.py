"""VIA files: read in every export's form, bad regions told, and back again without a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import prepare_layouts as layouts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_layouts import polygon, region, via_entry
from prepare_runs import prepared, reasons

from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import read_index
from mammosono.tools.data.truth import union_mask
from mammosono.tools.prepare.readers import Layout
from mammosono.tools.prepare.via import read_via

TRIANGLE = ((20, 20), (60, 20), (40, 60))
PARTS = ("via_trainval.json", "via_test.json")


def project(folder: Path, regions: list[Any], shape: str = "export2", **attributes: str) -> Path:
    layouts.save(folder / "pictures" / "a.png", layouts.scene(1))
    name = "a.png" if shape == "project" else "pictures/a.png"
    return layouts.write_via(folder / "via.json", [via_entry(name, regions, **attributes)], shape)


def written(out: Path) -> dict[str, list[Any]]:
    """Regions by file name of both of an output folder's VIA files."""
    found = {}
    for part in PARTS:
        for entry in json.loads((out / part).read_text()).values():
            found[entry["filename"]] = entry["regions"]
    return found


@pytest.mark.parametrize("shape", ["export1", "export2", "project"])
def test_every_form_of_export_is_read(tmp_path: Path, shape: str) -> None:
    path = project(tmp_path, [polygon("malignant", *TRIANGLE)], shape)
    (record,) = read_index(prepared(tmp_path / "out", path).index)
    assert (record.modality, record.label) == (Modality.US, "malignant")
    assert record.lesions[0].box == (20, 20, 61, 61)
    mask = union_mask(record, (96, 128))
    assert mask is not None
    assert mask[30, 40]
    assert not mask[70, 40]


def test_every_shape_becomes_a_lesion_with_its_own_mask_and_label(tmp_path: Path) -> None:
    regions = [
        polygon("benign", *TRIANGLE),
        region("malignant", name="polyline", all_points_x=[5, 15, 5], all_points_y=[5, 5, 15]),
        region("benign", name="rect", x=80, y=10, width=20, height=10),
        region("benign", name="circle", cx=100, cy=60, r=12),
        region("malignant", name="ellipse", cx=20, cy=80, rx=10, ry=4, theta=0.5),
    ]
    (record,) = read_index(prepared(tmp_path / "out", project(tmp_path, regions)).index)
    labels = [Label.BENIGN, Label.MALIGNANT, Label.BENIGN, Label.BENIGN, Label.MALIGNANT]
    assert [lesion.label for lesion in record.lesions] == labels
    assert len(record.masks) == 5
    assert record.label == "malignant"


def test_bad_regions_are_one_line_each_and_the_rest_is_read(tmp_path: Path) -> None:
    regions = [
        polygon("benign", (1, 1), (9, 9)),
        polygon("benign", *TRIANGLE),
        polygon("benign", (500, 500), (600, 500), (600, 600)),
        polygon("benign", (-20, 10), (20, 10), (20, 30), (-20, 30)),
        region("benign", name="point", cx=5, cy=5),
        polygon(None, *TRIANGLE),
        "nonsense",
        region("benign", name="circle", cx=90, cy=50, r=20),
    ]
    run = prepared(tmp_path / "out", project(tmp_path, regions))
    (record,) = read_index(run.index)
    assert len(record.masks) == 3
    assert [(one.what, one.reason) for _, one in run.tally.remarks] == [
        ("pictures/a.png region 1", "left out: a polygon of fewer than 3 points"),
        (
            "pictures/a.png region 3",
            "left out: a region outside the picture or too small to cover a pixel",
        ),
        ("pictures/a.png region 4", "cut at the picture's edge"),
        ("pictures/a.png region 5", "ignored: a point outlines nothing"),
        ("pictures/a.png region 6", "left out: a region without a label"),
        ("pictures/a.png region 7", "left out: a region without a label"),
    ]


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"type": " Malignant "}, "malignant"),
        ({"kind": {"benign": True, "malignant": False}}, "benign"),
        ({"shape": "oval", "finding": "BENIGN"}, "benign"),
    ],
)
def test_a_label_is_found_as_a_word_or_a_ticked_box_under_any_key(
    tmp_path: Path, attributes: dict[str, Any], label: str
) -> None:
    one = {**polygon(None, *TRIANGLE), "region_attributes": attributes}
    (record,) = read_index(prepared(tmp_path / "out", project(tmp_path, [one])).index)
    assert record.label == label


def test_a_region_without_a_label_takes_the_pictures(tmp_path: Path) -> None:
    path = project(tmp_path, [polygon(None, *TRIANGLE)], label="malignant")
    (record,) = read_index(prepared(tmp_path / "out", path).index)
    assert [lesion.label for lesion in record.lesions] == [Label.MALIGNANT]


def test_a_picture_is_normal_only_if_it_says_so(tmp_path: Path) -> None:
    for name in "abcd":
        layouts.save(tmp_path / f"{name}.png", layouts.scene(ord(name)))
    entries = [
        via_entry("a.png", [], label="normal"),
        via_entry("b.png", []),
        via_entry("c.png", [polygon("benign", *TRIANGLE)], label="normal"),
        via_entry("d.png", [], label="benign"),
        via_entry("gone.png", [], label="normal"),
        via_entry("https://example.org/e.png", [], label="normal"),
    ]
    run = prepared(tmp_path / "out", layouts.write_via(tmp_path / "via.json", entries))
    records = read_index(run.index)
    assert [(r.name, r.label) for r in records] == [
        ("images/a.png", "normal"), ("images/d.png", "benign"),
    ]  # fmt: skip
    assert records[1].abnormal_without_location
    assert reasons(run) == {
        "a picture without a label of benign, malignant or normal": 1,
        "a picture called normal has regions": 1,
        "the picture is missing": 1,
        "a picture on the network; download it first": 1,
    }


def test_the_modality_is_asked_for_where_the_file_does_not_say_it(tmp_path: Path) -> None:
    layouts.save(tmp_path / "a.png", layouts.scene(1))
    entry = via_entry("a.png", [polygon("benign", *TRIANGLE)], modality=None)
    path = layouts.write_via(tmp_path / "via.json", [entry])
    (record,) = read_index(prepared(tmp_path / "out", path, modality=Modality.MG).index)
    assert record.modality is Modality.MG
    with pytest.raises(ValueError, match="no picture could be read"):
        prepared(tmp_path / "other", path)
    assert "give --modality" in (tmp_path / "other" / "skipped.csv").read_text()


def test_a_via_file_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    layouts.save(tmp_path / "secret.png", layouts.scene(1))
    names = ("../secret.png", str(tmp_path / "secret.png"))
    entries = [via_entry(name, [], label="normal") for name in names]
    path = layouts.write_via(tmp_path / "inner" / "via.json", entries)
    with pytest.raises(ValueError, match="no picture"):
        prepared(tmp_path / "out", path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[1]", "must hold an object"),
        ("{}", "names no picture"),
        ('{"a": 5}', "names no picture"),
        ('{"a": {"filename": "a", "regions": [NaN]}}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_via_export_is_refused_in_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "via.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_via(path)
    assert "\n" not in str(caught.value)


# Round trip

COORDINATE = st.integers(2, 90)
SHAPES = st.one_of(
    st.builds(
        lambda x, y, points: {
            "name": "polygon",
            "all_points_x": [x, x + 3, x, *[p for p, _ in points]],
            "all_points_y": [y, y, y + 3, *[p for _, p in points]],
        },
        COORDINATE, COORDINATE, st.lists(st.tuples(st.integers(-20, 150), COORDINATE), max_size=6),
    ),
    st.builds(
        lambda x, y, w, h: {"name": "rect", "x": x, "y": y, "width": w, "height": h},
        COORDINATE, COORDINATE, st.floats(2, 50), st.integers(2, 50),
    ),
    st.builds(
        lambda x, y, r: {"name": "circle", "cx": x, "cy": y, "r": r},
        COORDINATE, COORDINATE, st.floats(1, 50),
    ),
    st.builds(
        lambda x, y, rx, ry, turn: {
            "name": "ellipse", "cx": x, "cy": y, "rx": rx, "ry": ry, "theta": turn,
        },
        COORDINATE, COORDINATE, st.floats(1, 50), st.floats(1, 50), st.floats(-7, 7),
    ),
)  # fmt: skip
REGIONS = st.builds(
    lambda shape, label, more: {
        "shape_attributes": shape,
        "region_attributes": {"note": more, "finding": label},
    },
    SHAPES,
    st.sampled_from(["benign", "malignant", {"benign": True}]),
    st.text(max_size=8).filter(lambda t: t.strip().lower() not in ("benign", "malignant")),
)


@settings(max_examples=30, deadline=None)
@given(pictures=st.lists(st.lists(REGIONS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_via_to_index_to_via_keeps_every_region_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, pictures: list[list[Any]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    entries = []
    for k, regions in enumerate(pictures):
        layouts.save(folder / "images" / f"{k}.png", layouts.scene(k, 96, 96))
        entries.append(via_entry(f"images/{k}.png", regions))
    given_ = {entry["filename"]: entry["regions"] for entry in entries}
    once, twice = folder / "once", folder / "twice"
    first = prepared(once, layouts.write_via(folder / "via.json", entries))
    assert not reasons(first)
    assert written(once) == given_
    parts = [once / part for part in PARTS if json.loads((once / part).read_text())]
    again = prepared(twice, *parts, keep_split=True)
    assert written(twice) == given_
    old, new = (
        {r.name: (r.split, r.case, masks(r)) for r in read_index(run.index)}
        for run in (first, again)
    )
    assert old == new


def masks(record: Any) -> list[bytes]:
    return [path.read_bytes() for path in record.masks]


def test_masks_become_polygons_that_give_the_same_masks(tmp_path: Path) -> None:
    source = layouts.make_busi(tmp_path / "busi")
    run = prepared(tmp_path / "once", source)
    parts = [tmp_path / "once" / part for part in PARTS]
    again = prepared(tmp_path / "twice", *parts, layout=Layout.VIA, keep_split=True)
    for old, new in zip(read_index(run.index), read_index(again.index), strict=True):
        assert (old.name, old.label, old.split, old.source) == (
            new.name, new.label, new.split, new.source,
        )  # fmt: skip
        first, second = union_mask(old, (96, 128)), union_mask(new, (96, 128))
        assert np.array_equal(first, second) if first is not None else second is None


def test_a_circle_that_only_says_where_is_no_mask_after_the_round_trip(tmp_path: Path) -> None:
    run = prepared(tmp_path / "once", layouts.make_mias(tmp_path / "mias"))
    parts = [tmp_path / "once" / part for part in PARTS]
    again = prepared(tmp_path / "twice", *parts, keep_split=True)
    old, new = read_index(run.index), read_index(again.index)
    assert [r.lesions for r in new] == [r.lesions for r in old]
    assert not any(r.masks for r in new)
    assert any(lesion.is_circle for r in new for lesion in r.lesions)


def test_outlines_and_places_do_not_mix_in_a_picture(tmp_path: Path) -> None:
    place = region("benign", name="circle", cx=90, cy=50, r=20)
    place["region_attributes"]["outline"] = "unknown"
    path = project(tmp_path, [polygon("benign", *TRIANGLE), place])
    with pytest.raises(ValueError, match="no picture"):
        prepared(tmp_path / "out", path)
    assert "unknown outline" in (tmp_path / "out" / "skipped.csv").read_text()
