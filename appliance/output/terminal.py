"""Terminal output of a reading; colours only where the console is a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from mammosono.appliance.output import wording
from mammosono.appliance.output.printable import printable
from mammosono.appliance.values import Finding, ImageReading, Label, Reading, UnreadImage, Verdict

_VERDICT = {
    Verdict.POSITIVE: "bold dark_orange",
    Verdict.NEGATIVE: "bold green",
    Verdict.INDETERMINATE: "bold yellow",
}
_NOT_READ = "bold red"
_LABEL = {Label.MALIGNANT: "dark_orange", Label.BENIGN: "sky_blue2"}


def print_reading(console: Console, study_id: str, reading: Reading) -> None:
    """Fused verdict first, then every image with its findings and warnings."""
    lines = [_line("fused", reading.verdict, wording.reason(reading))]
    lines += [_indented(f"! {warning}", "yellow") for warning in reading.warnings]
    for image, label in zip(reading.in_order, wording.labels(reading), strict=True):
        if isinstance(image, UnreadImage):
            lines.append(_line(image.modality.value, None, f"({_called(image, label)})"))
        else:
            lines.append(_line(image.modality.value, image.verdict, _image(image, label, reading)))
            lines += [_finding(number, one) for number, one in enumerate(image.findings, start=1)]
            if not image.findings:
                lines.append(_indented(wording.no_findings(image)))
        lines += [_indented(f"! {warning}", "yellow") for warning in image.warnings]
    model = reading.model
    time = f"{reading.timings_ms['total'] / 1000:.2f} s, " if "total" in reading.timings_ms else ""
    lines.append(Text(f"study {study_id}, {time}model {model.name} {model.version}", "dim"))
    lines.append(Text(wording.INTENDED_USE, "dim"))
    for line in lines:
        # A warning or a name may come from a file or a server: it stays one line.
        line.plain = printable(line.plain)
        console.print(line, soft_wrap=True, highlight=False)


def _image(image: ImageReading, label: str, reading: Reading) -> str:
    size = f"{image.width} x {image.height} px"
    return f"{wording.score(image, reading)} ({_called(image, label)}, {size})"


def _called(image: ImageReading | UnreadImage, label: str) -> str:
    what = [label, wording.origin(image), printable(image.name or "")]
    return ", ".join(filter(None, what))


def _line(name: str, verdict: Verdict | None, words: str) -> Text:
    word, style = (verdict.value, _VERDICT[verdict]) if verdict else (wording.NOT_READ, _NOT_READ)
    return Text.assemble((f"{name:<7}", "bold"), (f"{word.upper():<15}", style), words)


def _finding(number: int, finding: Finding) -> Text:
    label = finding.label
    return Text.assemble(
        f"{number:>8}  ",
        (f"{label.value:<12}", _LABEL[label]),
        f"{finding.score:.3f}   {wording.extent(finding):<22} {wording.position(finding)}",
    )


def _indented(words: str, style: str = "") -> Text:
    return Text(" " * 7 + words, style)
