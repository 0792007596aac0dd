"""`python -m trivet.engines.worker FD`: a process that loads the model of one job, and does its shards.

It ends when nobody speaks with it any more, whatever it does at that moment: what it has not committed is
done again by another.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from types import FrameType

from trivet.engines.doer import Doer
from trivet.engines.messages import Do, Message, Messages, Prepare, send


def main() -> None:
    """Do what is asked over the socket, one thing after the other."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal sends them to all at once
        signal.signal(number, _nothing)
    logging.basicConfig(format="%(levelname)s %(message)s")
    own = socket.socket(fileno=int(sys.argv[1]))
    own.set_inheritable(False)
    doer = Doer(lambda further: send(own, further))
    for message in _asked(own):
        assert isinstance(message, Prepare | Do)
        send(own, doer.answer(message))


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
