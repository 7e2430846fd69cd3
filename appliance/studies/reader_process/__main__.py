"""Main module of the reader process, which the service starts:
`python -m mammosono.appliance.studies.reader_process`."""

from __future__ import annotations

import ctypes
import json
import logging
import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from mammosono.appliance.errors import ApplianceError, ModelFault, ModelUnavailable
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.problem import from_error, from_unexpected
from mammosono.appliance.output.save import save_image
from mammosono.appliance.pipeline.reader import ImageReader, Reader
from mammosono.appliance.pipeline.self_test import prove
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.exam import Exam, decoded
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.engines.options import EngineOptions

_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES = -3, 2**20

Say = Callable[[dict[str, Any]], None]
T = TypeVar("T", bound=ImageReader)


def main() -> None:
    """Serve until standard input ends."""
    _end_with_the_service()
    _give_back_memory()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    say = _speaker()
    orders = (json.loads(line) for line in sys.stdin)
    opening = next(orders)["open"]
    limit = opening["memory_bytes"]
    _limit_memory(limit)
    bundle = Path(opening["bundle"]) if opening["bundle"] else None
    options = EngineOptions(**opening["options"])

    def open_and_prove() -> Reader:
        reader = Reader.open(bundle, options)
        prove(reader)
        return reader

    reader = opened(open_and_prove, say)
    if reader is not None:
        # A reader that cannot be trusted any more ends here; the service starts another, whose own
        # test then says whether the fault has gone.
        enough = _data_bytes() + (limit - _data_bytes()) // 2 if limit is not None else math.inf
        for order in orders:
            # Decoders in C lose memory over damaged files (pylibjpeg-libjpeg all the pixels); a
            # reader so worn would soon refuse sound ones.
            if not obey(order, reader, say) or _data_bytes() > enough:
                break
        reader.close()


def opened(open_reader: Callable[[], T], say: Say) -> T | None:
    """The reader, or None if it cannot be opened; `say` gets the answer either way."""
    try:
        reader = open_reader()
    except (ModelUnavailable, ModelFault) as error:
        say({"unavailable": str(error)})
        return None
    except Exception as error:
        problem = from_unexpected(error)
        reason = f"The model could not be opened; the log tells why under {problem.instance}."
        say({"unavailable": reason})
        return None
    say({"ready": asdict(reader.model)})
    return reader


def obey(order: dict[str, Any], reader: ImageReader, say: Say) -> bool:
    """Carry out one order and answer it. False if the model can no longer be trusted."""
    if "ping" in order:
        say({"pong": order["ping"]})
        return True
    if order["result"] is not None:
        document = order["result"]
        say({"done": document, "verdict": document["verdict"]})
        say({"drawn": order["read"] if _drawn(order, reader) else None})
        return True
    watch = Stopwatch()
    files = [StoredFile.of(image) for image in order["images"]]
    try:
        reading = reader.read(Exam(files, reader.reduce, watch))
        timings = {**reading.timings_ms, **watch.milliseconds()}
        result = Result.of(order["read"], replace(reading, timings_ms=timings))
    except ApplianceError as error:
        problem = from_error(error, f"/v1/studies/{order['read']}")
        say({"refused": problem.document()})
        return not isinstance(error, ModelFault)
    except Exception as error:
        say({"refused": from_unexpected(error).document()})
        return True
    say({"done": result.document(), "verdict": reading.verdict.value})
    say({"drawn": None})
    return True


def _drawn(order: dict[str, Any], reader: ImageReader) -> bool:
    """Draw one image by the result of its study; nobody may ever look at the others. False if that
    cannot be done, or another model is there now."""
    try:
        result, index = Result.parse(order["result"]), order["index"]
        shown = {image.index: image for image in result.reading().images}
        if result.model.sha256 != reader.model.sha256 or index not in shown:
            return False
        image = decoded(StoredFile.of(order["images"][index]), "the image")
        save_image(Path(order["pictures"]), shown[index], reader.pictures(image))
        return True
    except OSError as error:  # a full disk: the result stands, they can be drawn later
        logging.getLogger(__name__).warning("pictures cannot be written: %s", error.strerror)
    except ApplianceError as error:
        logging.getLogger(__name__).warning("pictures cannot be drawn: %s", error.code)
    except Exception as error:
        from_unexpected(error)  # to the log
    return False


def _speaker() -> Say:
    """Writer of answers on standard output, which no library's print can get into."""
    answers: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer, ensure_ascii=False, separators=(",", ":")) + "\n")
        answers.flush()

    return say


def _limit_memory(limit: int | None) -> None:
    # The data, not the address space: a GPU's driver reserves far more of that than there is.
    if limit is not None:
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        # The soft limit alone: the engine's worker, a child of this process, lifts its own.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _give_back_memory() -> None:
    """Have what holds a film given back to the system as soon as it is freed. By itself the C
    library keeps blocks of up to 32 MiB in its heap once one of that size was freed."""
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def _data_bytes() -> int:
    """What RLIMIT_DATA is held against, and the stack."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()


def _end_with_the_service() -> None:
    """Have the kernel kill this process with the service, whose end of standard input may outlive
    it in a child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C reaches the whole group; the service ends this process once its study is read.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
