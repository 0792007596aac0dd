"""A model in a process of its own, asked synchronously: whatever it does, the process that asks goes on.

The process is started when somebody asks, loads the model, and answers one batch after the other over a
socket pair, in the frames of `hop`. One that ends is followed by another with the next question. It ends when
nobody speaks with it any more.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from trivet.codecs.tensors import UNSENDABLE, unpack
from trivet.core.errors import Cancelled, Internal, InvalidArgument, Unavailable
from trivet.core.instances import Column, Instances, Predictions, Rows
from trivet.core.predictor import Traits
from trivet.core.signature import Parameters, Signature
from trivet.runtimes.base import Permissions
from trivet.serving import hop
from trivet.serving.lifecycle import ModelInfo, ModelSpec

_LENGTH = 4
_TICK = 200  # milliseconds after which a process is looked at whose socket others may hold open
_ENDS_WITHIN = 5.0  # seconds, once its socket has ended
TOLD = "trivet.told"
"""The parameter of a question that is none about instances: what else the model knows."""


class Crashed(Unavailable):
    """The process of a model ended before it answered."""


class Load(Struct):
    """What the process is told first."""

    spec: ModelSpec
    permissions: Permissions


class Loaded(Struct):
    """Its answer: the model is there, or why not, and what else can be asked of it."""

    info: ModelInfo | None = None
    failure: hop.Failure | None = None
    knows: list[str] = []


class IsolatedPredictor:
    """A model whose process `start` starts, which comes first.

    `predict` may be called by several threads, one of which waits for the other.
    """

    info: ModelInfo

    def __init__(self, spec: ModelSpec, permissions: Permissions) -> None:
        self._spec = spec
        self._permissions = permissions
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._broken_off = 0
        self._closed = False

    def start(self) -> ModelInfo:
        """Load the model; raises whatever that raises, and Cancelled where it is broken off."""
        asked = self._broken_off
        with self._lock, self._told_apart(asked):
            self.info, knows = self._started()
        for name in knows:  # so that it is `Weighing` or `Linear` as the model is
            setattr(self, name, {"importances": self._importances, "coefficients": self._coefficients}[name])
        return self.info

    def __repr__(self) -> str:
        child = self._child
        return f"<IsolatedPredictor {self._spec.ref}: {'no process' if child is None else child.process.pid}>"

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.info.signature

    @property
    def traits(self) -> Traits:
        """What it is made of; here, it may be called by any thread."""
        own = self.info.traits
        return Traits(own.native, thread_safe=True, frees_gil=True, idempotent=own.idempotent)

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Ask the process, which is started where there is none.

        Raises what the model raises, Crashed where its process ends, and Cancelled where it is broken off.
        """
        (answer,) = self._answered(instances, parameters)
        return answer

    def interrupt(self) -> None:
        """Break off what is asked, by ending the process; may be called by any thread."""
        self._broken_off += 1
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self.interrupt()
        with self._lock:
            self._end()

    def _importances(self) -> Mapping[str, Column]:
        return self._told("importances")

    def _coefficients(self) -> tuple[Column, Column]:
        told = self._told("coefficients")
        return told["weights"], told["intercepts"]

    def _told(self, name: str) -> Mapping[str, Column]:
        message = self._asked(Instances({}, 0), {TOLD: name})
        if isinstance(message, hop.Separate):
            (refusal,) = message.each
            assert isinstance(refusal, hop.Failure)
            raise hop.error_of(refusal)
        return unpack(message.columns, Rows, message.columns[0][2][0], owned=True).columns

    def _answered(self, instances: Instances, parameters: Parameters) -> list[Predictions]:
        message = self._asked(instances, parameters)
        try:
            answers = hop.answers(message, [instances.count])
        except hop.Malformed as error:
            raise Internal(f"model {self._spec.ref}: its process is not understood: {error}") from None
        for one in answers:
            if not isinstance(one, Predictions):
                raise one or Internal(f"model {self._spec.ref}: its process gave no answer")
        return answers  # type: ignore[return-value]  # none is an error

    def _asked(self, instances: Instances, parameters: Parameters) -> hop.Answered | hop.Separate:
        try:
            frame, _ = hop.write_ask(0, [instances], parameters, [float("inf")])
        except UNSENDABLE as error:
            raise InvalidArgument(f"instances: cannot be sent to the model's process: {error}") from None
        asked = self._broken_off
        with self._lock, self._told_apart(asked):
            if self._closed:
                raise Cancelled(f"model {self._spec.ref} is given up")
            if self._broken_off != asked:
                raise Cancelled(f"model {self._spec.ref} was broken off")
            if self._child is None or not self._child.lives():
                self._started()
            assert self._child is not None
            message = hop.read_reply(self._child.ask(frame))
        if not isinstance(message, hop.Answered | hop.Separate):
            raise Internal(f"model {self._spec.ref}: its process said {message}")
        return message

    @contextmanager
    def _told_apart(self, asked: int) -> Iterator[None]:
        """Raise Cancelled instead of Crashed where the process was ended on purpose."""
        try:
            yield
        except Crashed:
            self._end()
            if self._broken_off != asked:
                raise Cancelled(f"model {self._spec.ref} was broken off") from None
            raise
        except BaseException:  # an answer may still come, which would be taken for another's
            self._end()
            raise

    def _started(self) -> tuple[ModelInfo, list[str]]:
        """Start a process and load the model; called with the lock held."""
        self._end()
        child = self._child = _Child(str(self._spec.ref))
        try:
            answer = read_loaded(child.ask(framed(Load(self._spec, self._permissions))))
        except BaseException:
            self._end()
            raise
        if answer.failure is not None or answer.info is None:
            self._end()
            raise hop.error_of(answer.failure) if answer.failure else Internal("it says nothing")
        return answer.info, answer.knows

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """A process, and this end of the socket pair."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._socket, its = socket.socketpair()
        life, self._life = os.pipe()
        with its, open(life, "rb"):
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trivet.serving.isolated_process", str(its.fileno()), str(life)],
                pass_fds=[its.fileno(), life],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a model prints is none of a command's output
                process_group=0,  # with which what it starts itself is ended
            )
        self._frames = hop.Frames()
        self._waits = select.poll()
        self._waits.register(self._socket, select.POLLIN)

    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def ask(self, frame: bytes | bytearray) -> memoryview:
        """Send a frame and return the next one; raises Crashed where the process ends instead."""
        try:
            self._socket.sendall(frame)
            while True:
                if not self._waits.poll(_TICK) and self.lives():
                    continue
                data = self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
                if not data:
                    break
                if found := list(self._frames.feed(data)):
                    return found[0]
        except (OSError, hop.Malformed):
            pass
        raise Crashed(f"model {self._model}: its process {self._how()} before it had answered")

    def end(self) -> None:
        """End it at once, and what it has started."""
        self.kill()
        self.process.wait()
        self._socket.close()
        with suppress(OSError):
            os.close(self._life)

    def kill(self) -> None:
        """End it at once; may be called by any thread."""
        if self.process.returncode is None:  # else its number may be another's by now
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _how(self) -> str:
        try:
            status = self.process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            return "fell silent"
        if status < 0:
            hint = " (was there too little memory?)" if -status == signal.SIGKILL else ""
            return f"was ended by {signal.Signals(-status).name}{hint}"
        return f"ended with status {status}"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing to tell another process")


def _restore(kind: type, value: Any) -> Any:
    return Path(value) if kind is Path else value


_encode = msgspec.json.Encoder(enc_hook=_plain).encode
read_load = msgspec.json.Decoder(Load, dec_hook=_restore).decode
read_loaded = msgspec.json.Decoder(Loaded, dec_hook=_restore).decode


def framed(message: Load | Loaded) -> bytes:
    """Write a message as a frame."""
    content = _encode(message)
    return len(content).to_bytes(_LENGTH, "little") + content
