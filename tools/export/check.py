"""Checks of a bundle's graphs without a Jetson: rules, FP16's range, readings, stored tensors, and
a real build where TensorRT-RTX is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Group

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.values import Modality, SourceImage
from mammosono.engines.bundle import Bundle, with_variant
from mammosono.engines.errors import EngineError
from mammosono.engines.trt.parity import read_tensors, try_plans
from mammosono.engines.trt.plan import MIXED
from mammosono.tools.data.index import Record
from mammosono.tools.export import rtx, rules
from mammosono.tools.export.half_precision import CASES, is_worth_storing, phantom_image
from mammosono.tools.export.mixed import rounded, to_mixed
from mammosono.tools.export.parity import agreement
from mammosono.tools.export.probes import Peaks, alone, peaks, too_large, variant
from mammosono.tools.export.subject import Check, CheckState, Subject
from mammosono.tools.tables import terminal

NO_MIXED = "the bundle has no mixed graphs; mammosono-tools half-precision BUNDLE adds them"


def tensorrt_rules(subject: Subject) -> Iterator[Check]:
    for name, graph in subject.graphs.items():
        said = f"{len(graph.graph.node)} nodes"
        yield subject.result(name, "TensorRT 8.2 rules", rules.violations(graph), said)


def mixed_graph_rules(subject: Subject) -> Iterator[Check]:
    what = "mixed graph rules"
    if not subject.mixed:
        yield subject.skipped(what, NO_MIXED)
        return
    for name, graph in subject.graphs.items():
        fp32 = subject.bundle.stages[name].fp32
        said = f"{len(fp32)} nodes at FP32"
        if name in subject.mixed:
            wrong = rules.mixed_violations(subject.mixed[name], graph, fp32)
        elif is_worth_storing(to_mixed(graph, fp32), graph):
            wrong = ["this stage alone has no mixed graph; export the bundle anew"]
        else:
            wrong, said = [], f"{said}: none, half precision would save nothing"
        yield subject.result(name, what, wrong, said)


def fp16_range(subject: Subject) -> Iterator[Check]:
    what = "FP16 range"
    largest_of: Peaks = {}
    try:
        for network in subject.networks():
            canvases = [canvas for canvas, _ in network.canvases]
            noisy = {name: each for name, each in subject.noisy.items() if name in network.stages}
            own = network.own
            bundle = stages_alone(subject.bundle, network.stages)
            largest_of |= peaks(bundle, canvases, own.geometry, noisy, own.stages)
        if subject.model.kind is not None:
            kind = subject.model.kind.stage
            bundle = stages_alone(subject.bundle, [kind])
            largest_of |= peaks(bundle, [], None, {kind: subject.looks})
    except EngineError as error:
        yield subject.result("", what, [str(error)])
        return
    for name, graph in subject.graphs.items():
        wrong = ["no image reached this stage; its range is unknown"]
        if name in largest_of:
            wrong = too_large(graph, largest_of[name])
        largest = max(largest_of.get(name, {}).values(), default=0.0)
        yield subject.result(name, what, wrong, f"at most {largest:.4g}")


def fp16_reading(subject: Subject) -> Iterator[Check]:
    """The mixed graphs as onnxruntime takes them, and what they compute once truly rounded."""
    what = "FP16 reads alike"
    if not subject.mixed:
        yield subject.skipped(what, NO_MIXED)
        return
    try:
        alone(with_variant(subject.bundle, MIXED)).close()
        with TemporaryDirectory() as folder:
            rounded_bundle = as_rounded(subject, Path(folder))
            with closing(alone(subject.bundle)) as a, closing(alone(rounded_bundle)) as b:
                agreements = {
                    network.name: agreement(
                        a, b, network.canvases, network.own.geometry, network.own.stages
                    )
                    for network in subject.networks()
                }
    except EngineError as error:
        yield subject.result("", what, [str(error)])
        return
    for name, one in agreements.items():
        yield subject.result(name, what, one.broken, one.figures)


def stored_tensors(subject: Subject) -> Iterator[Check]:
    """The device's own try of a plan, in FP32 and in half precision as it should be."""
    what = "stored tensors"
    if subject.bundle.parity is None:
        yield subject.skipped(what, "the bundle has none: mammosono-tools half-precision BUNDLE")
        return
    try:
        tensors = read_tensors(subject.bundle)
        with TemporaryDirectory() as folder:
            bundles = {"FP32": subject.bundle}
            if subject.mixed:
                bundles["FP16"] = as_rounded(subject, Path(folder))
            for kind, bundle in bundles.items():
                with closing(alone(bundle)) as engine:
                    verdicts = try_plans(engine, bundle, tensors, lambda stage: None)
                for tried in verdicts:
                    wrong = [tried.reason] if tried.reason else []
                    yield subject.result(tried.stage, f"{what} in {kind}", wrong)
    except EngineError as error:
        yield subject.result("", what, [str(error)])


def tensorrt_rtx(subject: Subject) -> Iterator[Check]:
    what = "TensorRT-RTX build"
    module = rtx.runtime()
    if module is None:
        yield subject.skipped(what, "tensorrt_rtx is not installed: pip install 'mammosono[rtx]'")
        return
    builder = rtx.Builder(module)
    for kind, graphs in (("FP32", subject.graphs), ("mixed", subject.mixed)):
        for name, graph in graphs.items():
            wrong = builder.refusals(graph.SerializeToString())
            said = f"{kind}, {builder.version}"
            yield subject.result(name, what, [f"{kind}: {line}" for line in wrong], said)


def stages_alone(bundle: Bundle, names: Collection[str]) -> Bundle:
    return bundle._replace(stages={name: bundle.stages[name] for name in names})


def as_rounded(subject: Subject, folder: Path) -> Bundle:
    graphs = {name: rounded(graph) for name, graph in subject.lowered.items()}
    return variant(subject.bundle, graphs, folder)


SCHEMA = 1
KINDS = (
    tensorrt_rules,
    mixed_graph_rules,
    fp16_range,
    fp16_reading,
    stored_tensors,
    tensorrt_rtx,
)


def shipped() -> list[Path]:
    """The folders of every bundle that ships."""
    return sorted(manifest.parent for manifest in SHIPPED.parent.glob("*/manifest.json"))


def phantoms() -> list[SourceImage]:
    return [phantom_image(case) for case in CASES]


def some_images(records: Sequence[Record], count: int) -> list[SourceImage]:
    """As many images, spread over the index and as far as there are both, of both modalities.

    Raises ValueError without records, IntakeError or OSError if an image cannot be read.
    """
    if not records:
        raise ValueError("the index names no image to try the graphs on")
    chosen: list[Record] = []
    for k, modality in enumerate(Modality):
        ours = [record for record in records if record.modality is modality]
        wanted = min(len(ours), (count + k) // 2)
        chosen += [ours[len(ours) * n // wanted] for n in range(wanted)]
    return [read_image(record.image.read_bytes(), record.modality) for record in chosen]


def check_graphs(
    folders: Sequence[Path],
    images: Sequence[SourceImage],
    on_check: Callable[[int, int], None] = lambda done, of: None,
) -> list[Check]:
    """Every check on every bundle.

    Raises BundleError, EngineUnavailable, ModelUnavailable if a bundle cannot be looked at.
    """
    done: list[Check] = []
    for k, folder in enumerate(folders):
        subject = Subject.open(folder, images)
        for n, kind in enumerate(KINDS, start=1):
            done += kind(subject)
            on_check(k * len(KINDS) + n, len(folders) * len(KINDS))
    return done


def passed(checks: Sequence[Check]) -> bool:
    return all(check.state != "fail" for check in checks)


def as_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """Plain values for JSON with stable keys."""
    return {"schema": SCHEMA, "ok": passed(checks), "checks": [asdict(check) for check in checks]}


def as_rich(checks: Sequence[Check]) -> Group:
    """A table a bundle."""
    head = ["stage", "check", "state", "figures, or fault"]
    tables = []
    for bundle, part in groupby(checks, lambda check: check.bundle):
        rows = [[c.stage, c.what, _word(c.state), "\n".join(c.said)] for c in part]
        tables.append(terminal([head, *rows], bundle, labels=4))
    return Group(*tables)


def _word(state: CheckState) -> str:
    return "FAIL" if state == "fail" else state
