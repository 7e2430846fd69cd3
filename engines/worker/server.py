"""Server of a worker: an engine behind a listening socket, one client at a time, one thread."""

import itertools
import os
import select
import socket
import stat
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineError, EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.interface import DeviceTensor, Engine
from mammosono.engines.worker import wire
from mammosono.engines.worker.wire import Handle, Message

_MESSAGE_S = 10.0
"""A client that began a message, or has an answer to take, gets this long."""


class Server(object):
    """Answers one client's requests with an engine; any other is refused as busy."""

    def __init__(self, engine: Engine, bundle: Bundle, listener: socket.socket) -> None:
        self._engine = engine
        self._bundle = bundle
        self._listener = listener
        self._limit = wire.limits_of(bundle).request
        self._kept: Dict[str, Dict[int, DeviceTensor]] = {}  # by the stage that made them
        self._numbers = itertools.count(1)  # never used twice: an old handle finds nothing

    def serve(self) -> None:
        """For ever. Raises EngineLost if the engine is beyond repair: start a new process."""
        client: Optional[socket.socket] = None
        try:
            while True:
                waiting = [self._listener] if client is None else [client, self._listener]
                ready, _, _ = select.select(waiting, [], [])
                # The client first: if it has hung up, the next one takes its place.
                if client is not None and client in ready:
                    if not self._answer(client):
                        client.close()
                        client = None
                        self._kept.clear()
                elif self._listener in ready:
                    client = self._welcome(client)
        finally:
            if client is not None:
                client.close()

    def _welcome(self, client: Optional[socket.socket]) -> Optional[socket.socket]:
        try:
            other, _ = self._listener.accept()
        except OSError:  # gone again already
            return client
        if client is None:
            return other
        _tell(other, Message(wire.BUSY))
        other.close()
        return client

    def _answer(self, client: socket.socket) -> bool:
        """Whether the client is still there and can be understood."""
        try:
            request = wire.receive(client, self._limit, _MESSAGE_S)
            answer = self._answer_to(request)
        except (wire.HungUp, wire.TooLate):
            return False
        except wire.WireError as error:
            # Where the next message begins cannot be known any more.
            sys.stderr.write("refused: %s\n" % error)
            _tell(client, _fault(EngineFault("the worker refused it: %s" % error)))
            return False
        except EngineLost as error:
            _tell(client, _fault(error))
            raise
        except EngineError as error:
            answer = _fault(error)
        return _tell(client, answer)

    def _answer_to(self, request: Message) -> Message:
        if request.kind == wire.HELLO:
            hello = {"bundle": self._bundle.sha256, "runtime": self._engine.runtime}
            return Message(wire.HELLO, hello)
        if request.kind == wire.PING:
            return Message(wire.PING)
        if request.kind == wire.RUN:
            return self._run(request)
        raise wire.WireError("kind %d is not a request" % request.kind)

    def _run(self, request: Message) -> Message:
        stage, keep = request.fields.get("stage"), request.fields.get("keep")
        names = isinstance(keep, list) and all(isinstance(name, str) for name in keep)
        if not isinstance(stage, str) or not isinstance(keep, list) or not names:
            raise wire.WireError("a run without its stage or what to keep")
        inputs = {
            name: self._find(stage, name, value) if isinstance(value, Handle) else value
            for name, value in request.tensors.items()
        }
        self._kept.pop(stage, None)  # before the run, which may need the memory
        outputs = self._engine.run(stage, inputs, keep)
        kept: Dict[int, DeviceTensor] = {}
        tensors: Dict[str, Any] = {}
        for name, value in outputs.items():
            if isinstance(value, DeviceTensor):
                number = next(self._numbers)
                kept[number] = value
                tensors[name] = Handle(number, value.shape)
            else:
                tensors[name] = value
        self._kept[stage] = kept
        return Message(wire.RUN, {}, tensors)

    def _find(self, stage: str, name: str, handle: Handle) -> DeviceTensor:
        for kept in self._kept.values():
            if handle.number in kept:
                return kept[handle.number]
        raise EngineFault(
            "stage %s: %s was kept by an earlier run or another engine; run the stage that makes "
            "it first" % (stage, name)
        )


@contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """A listening socket that none but this user can connect to; its file goes in the end.

    Raises EngineUnavailable if the folder is not this user's alone or the socket cannot be made.
    """
    folder = os.path.dirname(os.path.abspath(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _check_private(folder)
        before = os.umask(0o177)  # 0600 from the first moment, not after a chmod
        try:
            listener.bind(path)
        except OSError as error:
            raise EngineUnavailable(
                "the worker's socket cannot be made (%s); if no other worker listens there, "
                "remove it, or name a shorter path" % error.strerror
            ) from error
        finally:
            os.umask(before)
        try:
            listener.listen(4)
            yield listener
        finally:
            os.unlink(path)
    finally:
        listener.close()


def _check_private(folder: str) -> None:
    try:
        found = os.stat(folder)
    except OSError as error:
        raise EngineUnavailable(
            "the folder of the worker's socket cannot be used (%s); make it" % error.strerror
        ) from error
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EngineUnavailable(
            "the folder of the worker's socket must be yours and closed to others; chmod 700 it"
        )


def _fault(error: EngineError) -> Message:
    return Message(wire.FAULT, {"error": type(error).__name__, "message": str(error)})


def _tell(client: socket.socket, message: Message) -> bool:
    try:
        wire.send(client, message, _MESSAGE_S)
    except wire.WireError:
        return False
    return True
