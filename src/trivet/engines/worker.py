"""`python -m trivet.engines.worker FD`: a process that loads the model of one job, and does its shards.

It ends when nobody speaks with it any more, whatever it does at that moment: what it has not committed is
done again by another.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from types import FrameType

from trivet.engines.doer import Doer
from trivet.engines.messages import Do, Load, Message, Messages, Prepare, send

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of sys/prctl.h


def main() -> None:
    """Do what is asked over the socket, one thing after the other."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal sends them to all at once
        signal.signal(number, _nothing)
    logging.basicConfig(format="%(levelname)s %(message)s")
    _end_with_runner()
    _keep_memory()
    own = socket.socket(fileno=int(sys.argv[1]))
    own.set_inheritable(False)
    doer = Doer(lambda further: send(own, further))
    for message in _asked(own):
        assert isinstance(message, Load | Prepare | Do)
        send(own, doer.answer(message))


def _end_with_runner() -> None:
    """Have the kernel end this process with its runner: a model may hold up the thread that listens."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _keep_memory() -> None:
    """Have the C library keep what is freed: the buffers of each batch are those of the next.

    To give them back and ask for them again costs a twentieth of the time. https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, 1 << 28)
        mallopt(_MMAP_THRESHOLD, 1 << 25)


def _asked(own: socket.socket) -> Iterator[Message]:
    """Yield what comes. It is read by a thread, so that the end is noticed in the middle of work."""
    asked: SimpleQueue[Message] = SimpleQueue()

    def listen() -> None:
        messages = Messages()
        try:
            while data := own.recv(65536):
                for message in messages.feed(data):
                    asked.put(message)
        except OSError:
            pass
        finally:
            os._exit(0)

    Thread(target=listen, daemon=True).start()
    while True:
        yield asked.get()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Leave a signal to the runner."""


if __name__ == "__main__":
    main()
