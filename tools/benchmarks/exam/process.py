"""The reader process of a checkout, driven as a service drives it, and what the kernel counts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mammosono.appliance.values import BYTES_ALONE
from mammosono.engines.options import EngineOptions
from mammosono.tools.benchmarks.exam.files import ExamFile

_MODULES = {
    "appliance/studies/reader_process": "mammosono.appliance.studies.reader_process",
    "appliance/reading": "appliance.reading",
}
"""By its folder in a checkout: this version's, and that of the versions up to bundle 1.3.0."""
_BUNDLE = "engines/bundles/default"
_RESET_PEAK = "5"  # proc(5), clear_refs


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of processor: from the order to the document; drawing, from there to the pictures,
    if they are drawn with each reading; looking, for all pictures, if they are when asked for.

    peak: bytes above the idle process, until the document. document: the result.
    """

    seconds: float
    drawing: float
    looking: float
    peak: int
    document: Mapping[str, Any]


class ReaderChild:
    """One process, and one exam at a time in it. Raises ValueError if it cannot be started or
    refuses an exam."""

    def __init__(self, checkout: Path | None, bundle: Path | None, threads: int) -> None:
        """checkout: None is this installation. bundle: None is the checkout's own."""
        command, folder = _command(checkout)
        options = EngineOptions(threads=threads)._asdict()
        runtime = {"name": "auto", "threads": threads, "plans": None, "worker_python": None}
        runtime["run_deadline_s"] = 60.0
        self._child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )  # fmt: skip
        text = str(bundle.resolve()) if bundle else None
        opening = {"bundle": text, "options": options, "runtime": runtime, "memory_bytes": None}
        self._say({"open": opening})
        answer = self._hear()
        if "ready" not in answer:
            self.close()
            raise ValueError(f"the reader cannot be opened: {answer.get('unavailable')}")
        self.model: Mapping[str, Any] = answer["ready"]
        self._idle, self._warm = self._status("VmRSS"), False

    def read(self, files: Sequence[ExamFile], pictures: Path, look: bool = False) -> Reading:
        """pictures: a folder for the exam's. look: one that draws none while it reads is asked to.

        Memory is counted from the process as its first exam left it: what its networks need once
        is no part of an exam.
        """
        pictures.mkdir(parents=True, exist_ok=True)
        order = {"read": "exam", "images": [_image(each) for each in files], "result": None}
        order["pictures"] = str(pictures)
        Path(f"/proc/{self._child.pid}/clear_refs").write_text(_RESET_PEAK)
        started = self._processor_seconds()
        self._say(order)
        answer = self._hear()
        done, peak = self._processor_seconds(), self._status("VmHWM") - self._idle
        if "done" not in answer:
            raise ValueError(f"an exam was refused: {answer['refused']['detail']}")
        draws = self._hear()["drawn"] is not None
        drawn = self._processor_seconds()
        self._idle = self._idle if self._warm else self._status("VmRSS")
        self._warm = True
        if not draws and look:
            for index in range(len(files)):
                self._say({**order, "result": answer["done"], "index": index})
                self._hear()
                if self._hear()["drawn"] is None:
                    raise ValueError("the pictures of an exam could not be drawn")
            looked = self._processor_seconds() - drawn
            return Reading(done - started, 0.0, looked, peak, answer["done"])
        return Reading(done - started, drawn - done, 0.0, peak, answer["done"])

    def close(self) -> None:
        self._pipe(self._child.stdin).close()
        self._child.wait()
        self._pipe(self._child.stdout).close()

    def __enter__(self) -> ReaderChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _say(self, order: Mapping[str, Any]) -> None:
        pipe = self._pipe(self._child.stdin)
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()

    def _hear(self) -> dict[str, Any]:
        line = self._pipe(self._child.stdout).readline()
        if not line:
            raise ValueError("the reader process ended; its log tells why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def _processor_seconds(self) -> float:
        """Of all its threads (proc(5), stat: utime and stime)."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, key: str) -> int:
        """Bytes."""
        lines = Path(f"/proc/{self._child.pid}/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{key}:"))
        return 1024 * int(kilobytes)


def shipped_bundle(checkout: Path) -> Path:
    return checkout / _BUNDLE


def _command(checkout: Path | None) -> tuple[list[str], Path | None]:
    """Of the checkout's own interpreter where it has one; a version without a name of its own is
    found by its folder, by this one."""
    if checkout is None:
        return [sys.executable, "-m", _MODULES["appliance/studies/reader_process"]], None
    python = checkout / ".venv/bin/python"
    for folder, module in _MODULES.items():
        if not (checkout / folder).is_dir():
            continue
        if python.exists():
            return [str(python), "-m", module], checkout
        if not module.startswith("mammosono."):
            return [sys.executable, "-m", module], checkout
        raise ValueError(f"{checkout} has no .venv with this version installed")
    raise ValueError(f"{checkout} is no checkout whose reader process is known")


def _image(file: ExamFile) -> dict[str, Any]:
    return {
        "modality": file.modality.value,
        "path": str(file.path.resolve()),
        "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
        "posted": asdict(BYTES_ALONE),
    }
