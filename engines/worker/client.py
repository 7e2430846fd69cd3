"""Client of a worker: its engine as an Engine of this process."""

import socket
from contextlib import suppress
from typing import Any, Dict, Mapping, Sequence, Type

from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import (
    BundleError,
    EngineError,
    EngineFault,
    EngineLost,
    EngineUnavailable,
)
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.worker import wire
from mammosono.engines.worker.wire import Handle, Message

_HELLO_S = 10.0
_ERRORS: Dict[str, Type[EngineError]] = {
    error.__name__: error for error in (BundleError, EngineFault, EngineLost, EngineUnavailable)
}


class WorkerEngine(Engine):
    """An engine in another process. What it keeps stays there.

    lost: the worker cannot be spoken to any more. Every run from then on raises EngineLost.
    """

    def __init__(self, path: str, bundle: Bundle, run_deadline_s: float = 60.0) -> None:
        """Connect to the worker that listens at `path`.

        run_deadline_s: in which a run must be answered, or the worker counts as hung.

        Raises EngineUnavailable if none listens there, if it serves another client, another
        bundle or another version of the protocol.
        """
        self.lost = False
        self._limits = wire.limits_of(bundle)
        self._deadline_s = run_deadline_s
        self._socket = _connect(path)
        try:
            hello = self._ask(Message(wire.HELLO), _HELLO_S)
            if hello.fields.get("bundle") != bundle.sha256:
                raise EngineUnavailable("the worker serves another bundle; start it with this one")
        except EngineFault as error:
            self.close()
            raise EngineUnavailable("the worker does not answer: %s" % error) from error
        except EngineUnavailable:
            self.close()
            raise
        self.runtime = str(hello.fields.get("runtime"))

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        """As Engine.run; raises EngineLost if the worker died or did not answer in time, or if an
        input was kept by one that did. It is of no use after that."""
        tensors = {name: self._outgoing(stage, name, value) for name, value in inputs.items()}
        sent = sum(value.nbytes for value in tensors.values() if not isinstance(value, Handle))
        if sent > self._limits.request:
            raise EngineFault(
                "stage %s: inputs of %d bytes; no stage of the bundle takes more than %d"
                % (stage, sent, self._limits.request)
            )
        fields = {"stage": stage, "keep": list(keep)}
        answer = self._ask(Message(wire.RUN, fields, tensors), self._deadline_s)
        return {
            name: DeviceTensor((self, value.number), value.shape)
            if isinstance(value, Handle)
            else value
            for name, value in answer.tensors.items()
        }

    def ping(self, seconds: float) -> None:
        """Raises EngineLost if the worker does not answer in that time."""
        self._ask(Message(wire.PING), seconds)

    def close(self) -> None:
        self._socket.close()

    def _outgoing(self, stage: str, name: str, value: Tensor) -> Any:
        if isinstance(value, DeviceTensor):
            return self._handle(stage, name, value)
        if not wire.sendable(value):
            raise EngineFault(
                "stage %s: %s is %s %s, which no stage takes"
                % (stage, name, value.dtype, list(value.shape))
            )
        return value

    def _handle(self, stage: str, name: str, value: DeviceTensor) -> Handle:
        owner, number = value.handle if isinstance(value.handle, tuple) else (None, 0)
        if owner is self:
            return Handle(number, value.shape)
        if isinstance(owner, WorkerEngine) and owner.lost:
            raise EngineLost("stage %s: %s was lost with its worker; begin anew" % (stage, name))
        raise EngineFault(
            "stage %s: %s was kept by another engine; run the stage that makes it first"
            % (stage, name)
        )

    def _ask(self, request: Message, seconds: float) -> Message:
        if self.lost or self._socket.fileno() < 0:
            raise EngineLost("the engine's worker is gone; start another")
        try:
            answer = self._exchange(request, seconds)
        except wire.TooLate as error:
            raise self._gone("did not answer within %g s" % seconds) from error
        except wire.HungUp as error:
            raise self._gone("hung up") from error
        except wire.WireError as error:
            raise self._gone("cannot be understood: %s" % error) from error
        if answer.kind == request.kind:
            return answer
        if answer.kind == wire.BUSY:
            raise EngineUnavailable("the worker serves another client; stop that one first")
        error_class = _ERRORS.get(answer.fields.get("error", ""), EngineFault)
        if error_class is EngineLost:
            self.lost = True
        raise error_class(str(answer.fields.get("message")))

    def _exchange(self, request: Message, seconds: float) -> Message:
        with suppress(wire.HungUp):  # it may have said why before it did
            wire.send(self._socket, request, seconds)
        return wire.receive(self._socket, self._limits.answer, seconds)

    def _gone(self, how: str) -> EngineLost:
        self.lost = True
        self._socket.close()
        return EngineLost("the engine's worker %s" % how)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_HELLO_S)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise EngineUnavailable(
            "no worker listens at the socket (%s); start it" % (error.strerror or error)
        ) from error
    return connection
