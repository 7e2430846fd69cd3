"""Engine worker: `python3.6 -m mammosono.engines.worker --bundle DIR --socket PATH`.

Says "ready" on standard output once it listens; a last line on standard error says why it ended.
"""

import argparse
import fcntl
import os
import resource
import select
import signal
import sys
from typing import Any, List, Optional

from mammosono.engines.bundle import open_bundle
from mammosono.engines.errors import EngineError
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions, from_json, to_json
from mammosono.engines.worker.server import Server, listening


def main(arguments: Optional[List[str]] = None) -> int:
    options = _options(arguments)
    if options.lifeline:
        _end_with_parent()
    signal.signal(signal.SIGTERM, _end)
    # Who started this may have bounded its own memory; a GPU's libraries need far more.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    # Whatever a library prints goes where people look; standard output is for one word only.
    notice = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        bundle = open_bundle(options.bundle)
        # This is the process that it was to be run in.
        engine = open_engine(bundle, from_json(options.options)._replace(worker_python=None))
        try:
            with listening(options.socket) as listener:
                os.write(notice, b"ready\n")
                os.close(notice)
                Server(engine, bundle, listener).serve()
        finally:
            engine.close()
    except EngineError as error:
        sys.stderr.write("%s\n" % error)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _options(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mammosono.engines.worker", description="Serve a bundle's engine."
    )
    parser.add_argument("--bundle", required=True, help="the bundle's folder")
    parser.add_argument("--socket", required=True, help="Unix socket to make, in a 0700 folder")
    parser.add_argument(
        "--options", default=to_json(EngineOptions()), metavar="JSON", help="engines.options"
    )
    parser.add_argument(
        "--lifeline", action="store_true", help="end as soon as standard input, a pipe, is closed"
    )
    return parser.parse_args(arguments)


def _end(*_: Any) -> None:
    raise SystemExit(0)


def _end_with_parent() -> None:
    """Have the kernel end this process when the other end of standard input closes.

    SIGIO's default needs no Python to run: it ends a process that hangs in the GPU's driver too.
    Not PR_SET_PDEATHSIG, which fires when the parent's thread ends that happened to start us.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(0, 0)
    if poll.poll(0):  # closed before we asked
        raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
