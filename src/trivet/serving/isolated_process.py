"""The process that has a model of its own: it loads it, and answers one question after the other."""

import fcntl
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from trivet.codecs.tensors import pack
from trivet.core.errors import model_error
from trivet.core.instances import Column, Rows
from trivet.core.predictor import Linear, Weighing
from trivet.serving import hop
from trivet.serving.isolated import TOLD, Loaded, framed, read_load
from trivet.serving.lifecycle import LoadedModel, load
from trivet.serving.replica import FAULTS


def main() -> None:
    """Load the model that the socket says, and answer what comes over it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal sends them to all at once
        signal.signal(number, lambda *_: None)
    logging.basicConfig(format="%(levelname)s %(message)s")
    own = socket.socket(fileno=int(sys.argv[1]))
    own.set_inheritable(False)
    _end_with(int(sys.argv[2]))
    frames = _frames(own)
    asked = read_load(next(frames))
    try:
        model = load(asked.spec, asked.permissions)
        told = Loaded(model.info, knows=_knows(model))
    except FAULTS as error:
        told = Loaded(failure=hop.failure(model_error(error)))
    own.sendall(framed(told))
    if told.info is None:
        return
    for frame in frames:
        own.sendall(_answer(model, frame))


def _end_with(life: int) -> None:
    """Have the kernel end this process with the one that asks it, whose end of this pipe is closed then.

    Native code that never returns would keep any thread from noticing. Where memory is short it is this
    process that is ended first.
    """
    if sys.platform == "linux":
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())  # and what it has started
        fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO, which ends it
        if select.select([life], [], [], 0)[0]:
            os._exit(0)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def _knows(model: LoadedModel) -> list[str]:
    kinds = (("importances", Weighing), ("coefficients", Linear))
    return [name for name, kind in kinds if isinstance(model.predictor, kind)]


def _frames(own: socket.socket) -> Iterator[memoryview]:
    """Yield what comes. It is read by a thread, so that the end is noticed in the middle of work."""
    found: SimpleQueue[memoryview] = SimpleQueue()

    def listen() -> None:
        frames = hop.Frames()
        with suppress(OSError):
            while data := own.recv(1 << 20):
                for frame in frames.feed(data):
                    found.put(frame)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield found.get()


def _answer(model: LoadedModel, frame: memoryview) -> bytearray:
    asked = hop.read_ask(frame)
    assert not isinstance(asked, hop.Cancel)
    ask, instances = asked
    try:
        if name := ask.parameters.get(TOLD):
            return hop.write(hop.Answered(ask.id, pack(Rows(_knowledge(model, name), 0))))
        predictions = model.predictor.predict(instances, ask.parameters)
        return hop.write_answers(ask.id, [predictions])
    except FAULTS as error:
        answer = model_error(error)
        if answer is not error:
            answer.__cause__ = error  # whose traceback is sent with it
        return hop.write_answers(ask.id, [answer])


def _knowledge(model: LoadedModel, name: str) -> Mapping[str, Column]:
    if name == "importances":
        assert isinstance(model.predictor, Weighing)
        return {key: np.asarray(one) for key, one in model.predictor.importances().items()}
    assert isinstance(model.predictor, Linear)
    weights, intercepts = model.predictor.coefficients()
    return {"weights": weights, "intercepts": intercepts}


if __name__ == "__main__":
    main()
