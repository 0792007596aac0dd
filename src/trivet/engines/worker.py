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
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from types import FrameType

from trivet.core.batch import ShardResult
from trivet.core.errors import ServingError, model_error
from trivet.engines.messages import Do, Done, Failed, Further, Message, Messages, Planned, Prepare, send
from trivet.jobs import run
from trivet.jobs.engine import Reading
from trivet.serving import hop
from trivet.serving.replica import FAULTS

log = logging.getLogger("trivet")

_TELLS_EVERY = 0.1  # seconds


def main() -> None:
    """Do what is asked over the socket, one thing after the other."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal sends them to all at once
        signal.signal(number, _nothing)
    logging.basicConfig(format="%(levelname)s %(message)s")
    own = socket.socket(fileno=int(sys.argv[1]))
    own.set_inheritable(False)
    worker = _Worker(own)
    for message in _asked(own):
        worker.answer(message)


class _Worker:
    def __init__(self, own: socket.socket) -> None:
        self._own = own
        self._scorer: run.Scorer | None = None
        self._told = 0.0

    def answer(self, asked: Message) -> None:
        """Do what is asked, and say how it went."""
        assert isinstance(asked, Prepare | Do)
        try:
            self._scorer = self._scorer or run.load(asked.work)
            answer = self._done(asked, self._scorer)
        except FAULTS as error:
            known = model_error(error)
            if known is not error:
                log.exception("%s", asked.work.job)
            answer = Failed(hop.failure(known))
        send(self._own, answer)

    def _done(self, asked: Prepare | Do, scorer: run.Scorer) -> Message:
        if isinstance(asked, Prepare):
            prepared, shards = run.prepare(asked.work, scorer)
            return Planned(prepared, list(shards))
        self._told = monotonic()
        try:
            return Done(_sendable(run.run_shard(asked.work, asked.shard, scorer, self._report)))
        except ServingError as error:
            error.add_note(f"{asked.shard.uri} from record {asked.shard.first} on")
            raise

    def _report(self, reading: Reading) -> None:
        if (now := monotonic()) - self._told >= _TELLS_EVERY:
            self._told = now
            send(self._own, Further(reading))


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


def _sendable(result: ShardResult) -> ShardResult:
    """Return a result whose messages are text that JSON has: a model may have put anything into them."""
    clean = (
        replace(one, message=one.message.encode("utf-8", "backslashreplace").decode())
        for one in result.failures
    )
    return replace(result, failures=tuple(clean))


def _nothing(number: int, frame: FrameType | None) -> None:
    """Leave a signal to the runner."""


if __name__ == "__main__":
    main()
