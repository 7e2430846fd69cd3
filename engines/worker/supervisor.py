"""Supervisor of an engine in a worker process, which is replaced when it dies or hangs."""

import logging
import os
import threading
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineError, EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.options import EngineOptions, to_json
from mammosono.engines.worker.client import WorkerEngine
from mammosono.engines.worker.process import DYING_S, WorkerProcess
from mammosono.engines.worker.wire import TooLate

logger = logging.getLogger(__name__)


ANSWER_S = 10.0
"""An idle worker answers within a millisecond, on a device that swaps within some seconds."""


class _Worker(NamedTuple):
    process: WorkerProcess
    engine: WorkerEngine


class SupervisedEngine(Engine):
    """The engine of a worker that this class starts, asks for signs of life, and replaces.

    One thread may run it, as with any engine; another of its own asks in between.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: EngineOptions,
        socket_dir: Optional[str] = None,
        start_deadline_s: float = 120.0,
        heartbeat_s: float = 5.0,
    ) -> None:
        """Start the worker and wait until it can run.

        options: `worker_python` is the interpreter that has the runtime; the worker opens its
            engine by the others.
        socket_dir: where a private folder for the socket is made; the temporary one if None.
        start_deadline_s: in which a worker must have loaded the bundle.
        heartbeat_s: how often an idle worker is asked whether it lives.

        Raises EngineUnavailable, with the worker's own reason, if it does not start; ValueError
        if no interpreter is named.
        """
        if options.worker_python is None:
            raise ValueError("a worker needs the name of its Python")
        self._python, self._bundle, self._socket_dir = options.worker_python, bundle, socket_dir
        self._arguments = _arguments(bundle, options)
        self._run_deadline_s, self._start_deadline_s = options.run_deadline_s, start_deadline_s
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()  # over `_worker`, and over talking to it
        first = self._start()
        self.runtime = first.engine.runtime
        self._worker: Optional[_Worker] = first
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._keep_watch, name="engine worker's watch")
        self._watch.daemon = True
        self._watch.start()

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        """As Engine.run. Starts a worker first if the last one was lost.

        Raises EngineLost if the worker dies or does not answer in time, or if an input was kept
        by a worker that did: begin anew with the stage that makes it. EngineUnavailable, with
        the worker's own reason, if none can be started any more.
        """
        with self._lock:
            if self._closed.is_set():
                raise EngineFault("the engine is closed; open the bundle again")
            if self._worker is None:
                self._worker = self._start()
            worker = self._worker
            try:
                return worker.engine.run(stage, inputs, keep)
            except EngineLost as error:
                if not worker.engine.lost:  # an input was, with an earlier worker
                    raise
                reason = self._put_down(error)
                raise EngineLost("%s (%s); run it again" % (error, reason)) from error

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._worker is not None:
                self._worker.engine.close()
                self._worker.process.stop()
                self._worker = None
        self._watch.join()

    @property
    def worker_pid(self) -> Optional[int]:
        """The process id of the worker, None while there is none."""
        worker = self._worker
        return None if worker is None else worker.process.pid

    def _start(self) -> _Worker:
        process = WorkerProcess(self._python, self._arguments, self._socket_dir)
        try:
            process.wait_until_ready(self._start_deadline_s)
            engine = WorkerEngine(process.socket, self._bundle, self._run_deadline_s)
        except BaseException:
            process.kill()
            raise
        logger.info("worker %d runs %s", process.pid, engine.runtime)
        return _Worker(process, engine)

    def _put_down(self, error: EngineError) -> str:
        """Returns why the worker was lost."""
        assert self._worker is not None
        worker, self._worker = self._worker, None
        worker.engine.close()
        late = isinstance(error.__cause__, TooLate)
        reason = worker.process.kill(0.0 if late else DYING_S)
        logger.error("worker %d was lost: %s", worker.process.pid, reason)
        return reason

    def _keep_watch(self) -> None:
        while not self._closed.wait(self._heartbeat_s):
            # A run has its own deadline; nothing is asked meanwhile.
            if self._lock.acquire(False):
                try:
                    self._look()
                finally:
                    self._lock.release()

    def _look(self) -> None:
        if self._worker is None or self._closed.is_set():
            return
        try:
            self._worker.engine.ping(ANSWER_S)
        except EngineError as error:
            self._put_down(error)
            # Now rather than when a study waits. If it does not start, the next run tries again
            # and says why; endless attempts would only heat the device.
            try:
                self._worker = self._start()
            except EngineUnavailable as refused:
                logger.error("no worker took its place: %s", refused)


def _arguments(bundle: Bundle, options: EngineOptions) -> List[str]:
    if options.plans is not None:  # the worker is started in another folder
        options = options._replace(plans=os.path.abspath(options.plans))
    return ["--bundle", bundle.folder, "--options", to_json(options)]
