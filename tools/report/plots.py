"""Plots of the curves as SVG: dark lines that differ by dash and marker, for grey prints too.

Every legend and axis names how many images, lesions or epochs stand behind it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mammosono.tools.evaluation.bootstrap import Estimate
from mammosono.tools.network.config import LOSS_PARTS
from mammosono.tools.report.evaluation_folder import StoredEvaluation, estimate

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "path",
    "svg.hashsalt": "mammosono",
}
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#999999", "#cc79a7")
"""Okabe and Ito's palette, the darker ones first."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
SIZE_IN = (3.6, 4.1)
"""Of one panel, two of which stand side by side on A4."""


def roc(evaluation: StoredEvaluation) -> str:
    """ROC by group with AUC, and the operating point with the intervals of TPR and TNR."""
    figure, axes = _panel("ROC: malignant against the rest", "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    for look, name in _looks(evaluation):
        points = evaluation.curves[name]["roc"]
        if points:
            group = evaluation.metrics["groups"][name]
            legend = f"{name}: AUC {_words(group, 'auc')}\n{_images(group)}"
            axes.plot(*zip(*points, strict=True), label=legend, **look)
            _operating_point(axes, group, look)
    _unit(axes)
    return _svg(figure, axes)


def pr(evaluation: StoredEvaluation) -> str:
    """Precision against recall by group, with average precision and the prevalence."""
    figure, axes = _panel("Precision and recall: malignant", "recall", "precision")
    for look, name in _looks(evaluation):
        points = evaluation.curves[name]["pr"]
        if points:
            group = evaluation.metrics["groups"][name]
            legend = f"{name}: AP {_words(group, 'average_precision')}\n{_images(group)}"
            axes.plot(*zip(*points, strict=True), label=legend, **look)
            axes.axhline(group["prevalence"], linewidth=0.7, **look)
    _unit(axes)
    return _svg(figure, axes)


def froc(evaluation: StoredEvaluation) -> str:
    """Lesions found against false positives an image, the stated rates with their intervals."""
    figure, axes = _panel("FROC: lesions found", "false positives an image", "share of lesions")
    for look, name in _looks(evaluation):
        points = evaluation.curves[name]["froc"]
        if points:
            lesions = evaluation.metrics["found"]["groups"][name]
            legend = (
                f"{name}: at 1, {_words(lesions, 'froc_1')}\nn = {lesions['lesions']} lesions, "
            )
            legend += f"{lesions['n']} images"
            axes.step(*zip((0, 0), *points, strict=True), where="post", label=legend, **look)
            for rate in (0.25, 0.5, 1, 2):
                _bar(axes, rate, estimate(lesions["estimates"][f"froc_{rate:g}"]), look)
    axes.set(xlim=(0, 3), ylim=(0, 1.02))
    return _svg(figure, axes)


def reliability(evaluation: StoredEvaluation) -> str:
    """Share of malignant images against mean score in ten bins; the area of a dot is its n."""
    figure, axes = _panel("Reliability of the image score", "mean score", "share malignant")
    axes.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    for look, name in _looks(evaluation):
        bins, group = evaluation.curves[name]["reliability"], evaluation.metrics["groups"][name]
        if not bins:
            continue
        x, y = [b["score"] for b in bins], [b["malignant"] for b in bins]
        area = [5 * b["n"] for b in bins]
        floor = group["ece_if_calibrated"]
        legend = f"{name}: ECE {_words(group, 'ece')}\nn = {sum(b['n'] for b in bins)}, "
        legend += "" if floor is None else f"{floor:.3f} were it right"
        axes.plot(x, y, label=legend, **{**look, "linewidth": 0.8})
        axes.scatter(x, y, area, color=look["color"], marker=look["marker"], alpha=0.6)
    _unit(axes)
    return _svg(figure, axes)


def training(rows: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    """Accuracy and losses by epoch, as the paper's figure 5; rows of a run's curves.csv."""
    epochs = [int(row["epoch"]) for row in rows]
    names = list(dict.fromkeys(key for row in rows for key in row if key != "epoch"))
    validated = [name for name in names if name.startswith("val_")]
    losses = [name for name in LOSS_PARTS if name in names]
    axis = f"epoch (n = {len(rows)})"
    accuracy = _panel("Accuracy in training; AUC and Dice on val", axis, "")
    loss = _panel("Loss in training, by part", axis, "")
    for (_, axes), series in ((accuracy, ["accuracy", *validated]), (loss, losses)):
        for i, name in enumerate(series):
            points = [(e, float(r[name])) for e, r in zip(epochs, rows, strict=True) if r.get(name)]
            if points:
                label = name.removeprefix("val_").replace("_", " ")
                look = {**_look(i), "markevery": 0.2}
                axes.plot(*zip(*points, strict=True), label=label, **look)
    accuracy[1].set(ylim=(0, 1))
    loss[1].set(yscale="log")
    return _svg(*accuracy), _svg(*loss)


def _operating_point(axes: Axes, group: Mapping[str, Any], look: Mapping[str, Any]) -> None:
    tpr, tnr = (estimate(group["estimates"][key]) for key in ("tpr", "tnr"))
    axes.errorbar(
        [1 - tnr.value],
        [tpr.value],
        xerr=[[tnr.high - tnr.value], [tnr.value - tnr.low]],
        yerr=[[tpr.value - tpr.low], [tpr.high - tpr.value]],
        color=look["color"],
        marker=look["marker"],
        markersize=7,
        linewidth=1,
        capsize=2.5,
    )


def _bar(axes: Axes, x: float, interval: Estimate, look: Mapping[str, Any]) -> None:
    axes.errorbar(
        [x],
        [interval.value],
        yerr=[[interval.value - interval.low], [interval.high - interval.value]],
        color=look["color"],
        marker=look["marker"],
        linewidth=1,
        capsize=2.5,
    )


def _panel(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.subplots()
        axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _looks(evaluation: StoredEvaluation) -> list[tuple[dict[str, Any], str]]:
    return [
        (_look(i), name) for i, name in enumerate(evaluation.groups()) if name in evaluation.curves
    ]


def _look(i: int) -> dict[str, Any]:
    k = i % len(COLOURS)
    # No marker on the curve itself: it stands for the operating point, and in the legend.
    return {
        "color": COLOURS[k],
        "linestyle": DASHES[k],
        "marker": MARKERS[k],
        "markevery": [],
    }


def _unit(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _words(group: Mapping[str, Any], key: str) -> str:
    interval = estimate(group["estimates"][key])
    return f"{interval.value:.3f} ({interval.low:.2f} to {interval.high:.2f})"


def _images(group: Mapping[str, Any]) -> str:
    return f"n = {group['n']} images, {group['malignant']} malignant"


def _svg(figure: Figure, axes: Axes) -> str:
    """The figure as SVG text, its legend below the axes."""
    with rc_context(STYLE):
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            columns = 1 if any("\n" in label for label in labels) else 2
            figure.legend(
                handles, labels, loc="outside lower left", handlelength=3.6, ncols=columns
            )
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
