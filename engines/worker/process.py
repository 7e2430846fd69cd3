"""Worker process: start, wait until ready, read its output, end."""

import logging
import os
import select
import shutil
import subprocess
import tempfile
import threading
from typing import IO, List, Optional

from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.python_launch import OF_THIS_PYTHON, command

logger = logging.getLogger(__name__)

DYING_S = 3.0
"""A process that closed its pipe or socket has ended by then, with its last line written."""

_REAP_S = 5.0
_LINE = 4096
_REASON = 200  # characters of a last line that are passed on


class WorkerProcess(object):
    """A running worker and the private folder of its socket."""

    def __init__(self, python: str, arguments: List[str], socket_dir: Optional[str] = None) -> None:
        """Start it. socket_dir: where its folder is made; the system's temporary one if None.

        Raises EngineUnavailable if there is no such Python or no such folder.
        """
        try:
            self._folder = tempfile.mkdtemp(prefix="worker-", dir=socket_dir)  # 0700
        except OSError as error:
            raise EngineUnavailable(
                "the folder for the worker's socket cannot be written (%s); make it"
                % error.strerror
            ) from error
        self.socket = os.path.join(self._folder, "engine")
        self._last_line = ""
        if os.sep in python:
            python = os.path.abspath(python)
        options = ["--lifeline", "--socket", self.socket]
        try:
            self._process = subprocess.Popen(
                command(python, "mammosono.engines.worker", options + arguments),
                # Never written to: the worker ends when it closes, that is with this process.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={k: v for k, v in os.environ.items() if k not in OF_THIS_PYTHON},
                start_new_session=True,  # Ctrl-C is for the service, which ends a study first
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EngineUnavailable(
                "the worker's Python cannot be started (%s); name one that is installed"
                % error.strerror
            ) from error
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,))
        self._listener.daemon = True
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, seconds: float) -> None:
        """Raises EngineUnavailable, with the worker's own reason, if it does not get that far."""
        notice = self._process.stdout
        assert notice is not None
        poll = select.poll()
        poll.register(notice, select.POLLIN)
        if not poll.poll(seconds * 1000):
            self.kill()
            raise EngineUnavailable(
                "the engine's worker was not ready within %g s; give it longer or see its log"
                % seconds
            )
        if os.read(notice.fileno(), _LINE) != b"ready\n":
            raise EngineUnavailable("the engine's worker does not start: %s" % self.kill(DYING_S))

    def stop(self, seconds: float = 5.0) -> None:
        """Let it give back the device and end; end it if that takes longer."""
        self._process.terminate()
        self._ended(seconds)
        self.kill()

    def kill(self, dying_s: float = 0.0) -> str:
        """End it. Returns why it had ended, if it had: its last line, or how it was ended.

        dying_s: how long it may take to end by itself; one that hung up is about to.
        """
        ended = self._ended(dying_s)
        self._process.kill()
        status = self._ended(_REAP_S)
        self._listener.join(_REAP_S if status is not None else 0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if ended is None:
            return "it hung"
        if ended > 0 and self._last_line:
            return self._last_line
        how = "it was ended by signal %d" % -ended if ended < 0 else "it ended by itself"
        return how + ("; its last line: " + self._last_line if self._last_line else "")

    def _ended(self, seconds: float) -> Optional[int]:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in iter(lambda: pipe.readline(_LINE), b""):
                text = line.decode("utf-8", "replace").strip()
                if text:
                    self._last_line = text[:_REASON]
                    logger.info("worker %d: %s", self.pid, text)
