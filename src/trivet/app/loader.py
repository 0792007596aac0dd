"""The loader: loads every shared model once, and forks the processes that serve them.

A fork has its libraries imported and its models loaded from the first moment, shares their memory, and
takes milliseconds to start. A fork has one thread, whatever its parent had, which is why the loader has no
event loop, why runtimes that need threads are loaded elsewhere (`OwnProcess`), and why a fork ends without
running what libraries left to be done at exit.
"""

import gc
import logging
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from types import FrameType
from typing import NoReturn

from trivet.app import front, logs, replica
from trivet.app.channel import BlockingChannel
from trivet.app.child import settle
from trivet.app.messages import (
    Exited,
    Failed,
    Forked,
    ForkFront,
    ForkLoader,
    ForkReplica,
    Load,
    Loaded,
    Loading,
    Message,
    Preload,
)
from trivet.core.errors import NotFound, model_error
from trivet.runtimes import registry
from trivet.runtimes.base import Imports, OwnProcess
from trivet.serving import hop
from trivet.serving.lifecycle import LoadedModel, load
from trivet.serving.replica import FAULTS

log = logging.getLogger("trivet")


class Loader:
    """Does what the supervisor says, one thing after the other."""

    def __init__(self, control: socket.socket) -> None:
        self._channel = BlockingChannel(control)
        self._models: dict[str, LoadedModel] = {}
        self._grace = 0.0
        self._children: set[int] = set()
        self._busy = False  # with what the end of a child must not come between
        self._ended = False  # one has, perhaps, of which nobody was told yet

    def run(self) -> NoReturn:
        """Go on until the supervisor ends the conversation. What was forked stays."""
        status = 1
        try:
            self._run()
            status = 0
        except (BrokenPipeError, ConnectionResetError):
            status = 0  # it has ended the conversation in the middle
        except Exception:
            log.exception("the loader ends")
        finally:  # what libraries left to be done at exit would wait for threads that a fork has not
            os._exit(status)

    def _run(self) -> None:
        front.preload()
        signal.signal(signal.SIGCHLD, self._reap)
        while (message := self._channel.receive()) is not None:
            match message:
                case Load():
                    self._load(message)
                case Preload(frameworks=frameworks):
                    _preload(frameworks)
                case ForkFront(id=number):
                    self._fork(number, partial(front.run, models=dict(self._models)), sockets=3)
                case ForkReplica(id=number, model=name):
                    model = self._models.get(name)  # None for one that was dropped: the fork ends at once
                    serve = partial(replica.run, model=model, grace=self._grace)
                    self._fork(number, serve, sockets=2)
                case ForkLoader(id=number):
                    self._fork(number, None, sockets=1)

    def _load(self, asked: Load) -> None:
        logs.configure(asked.log)
        self._grace = asked.grace
        for id_ in asked.drop:
            self._models.pop(id_, None)
        loaded = []
        for spec in asked.specs:
            name = str(spec.ref)
            self._tell(Loading(spec.id, name))
            try:
                self._models[spec.id] = load(spec, asked.permissions)
            except FAULTS as error:
                self._tell(Failed(spec.id, name, hop.failure(model_error(error))))
            else:
                loaded.append(self._models[spec.id].info)
        if asked.drop:
            gc.unfreeze()  # or what refers to itself would stay
        settle()
        self._tell(Loaded(loaded))

    def _fork(self, id_: int, serve: Callable[..., None] | None, sockets: int) -> None:
        """Fork a process that serves, or, without `serve`, another loader: there, this returns as well."""
        given = [socket.socket(fileno=self._channel.descriptors.popleft()) for _ in range(sockets)]
        with self._undisturbed():  # until it has been told of, its end must wait
            try:
                pid = os.fork()
            except OSError as error:  # there are too many processes: whoever waits sees the sockets close
                log.error("no process can be started: %s", error)
                for one in given:
                    one.close()
                return
            if pid == 0 and serve is None:
                self._channel.close()
                self._channel = BlockingChannel(*given)
                self._children, self._ended = set(), False
                return
            if pid == 0 and serve is not None:
                status = 1
                try:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    self._channel.close()
                    random.seed()
                    serve(*given)
                    status = 0
                finally:
                    os._exit(status)
            self._children.add(pid)
            for one in given:
                one.close()
            self._channel.send(Forked(id_, pid))

    def _reap(self, number: int, frame: FrameType | None) -> None:
        self._ended = True
        self._tell_of_ended()

    def _tell_of_ended(self) -> None:
        """Say which children have ended, now or when what is being done is done.

        The signal may come again in here, of another child: a mask does not keep it away, since a thread of a
        library may get it, for which Python then interrupts this one.
        """
        while self._ended and not self._busy:
            self._busy, self._ended = True, False
            try:
                for child in list(self._children):  # libraries may have children of their own
                    pid, status = os.waitpid(child, os.WNOHANG)
                    if pid:
                        self._children.discard(pid)
                        with suppress(OSError):
                            self._channel.send(Exited(pid, status))
            finally:
                self._busy = False

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Have the ends of children wait."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        self._tell_of_ended()

    def _tell(self, message: Message) -> None:
        """Send a message; the end of a child must not come between its parts."""
        with self._undisturbed():
            self._channel.send(message)


def _preload(frameworks: Sequence[str]) -> None:
    """Import libraries; one that cannot be imported is told of where a model needs it."""
    for framework in frameworks:
        with suppress(NotFound):
            runtime = registry.get_runtime(framework)
            if isinstance(runtime, Imports) and not isinstance(runtime, OwnProcess):
                for library in runtime.libraries:
                    with suppress(*FAULTS):
                        import_module(library)
