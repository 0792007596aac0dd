"""The replica's end of the hop: one predictor behind one queue, asked by every front.

The requests of all fronts wait in one `ReplicaSet`, which batches them, gives up the late, separates the
bad and bounds the queue exactly as it does where the predictor lives in a front.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from trivet.core.errors import Cancelled, DeadlineExceeded
from trivet.core.instances import Instances
from trivet.core.signature import Signature
from trivet.serving import hop
from trivet.serving.batching import Answer, Pending
from trivet.serving.replica_set import ReplicaSet

log = logging.getLogger("trivet")

_canonical = msgspec.json.Encoder(order="sorted").encode  # equal for equal JSON, and not for 1 and 1.0

# from 3.13 on asyncio would remove the path, at which the supervisor still listens
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class ReplicaServer:
    """Answers fronts with what `replicas` predict; `signature` is that of their predictor.

    `start` and `stop` are called once each, in the event loop of the replica set.
    """

    def __init__(self, replicas: ReplicaSet, signature: Signature) -> None:
        self.replicas = replicas
        self.stopping = False
        self._dynamic = [spec.name for spec in signature.inputs if spec.dynamic]
        self._fronts: set[_Front] = set()
        self._server: asyncio.Server | None = None
        self.alone = asyncio.Event()  # no front is connected
        self.alone.set()

    def __repr__(self) -> str:
        asked = sum(len(front.asked) for front in self._fronts)
        return f"<ReplicaServer {len(self._fronts)} fronts, {asked} batches asked>"

    async def start(self, listening: socket.socket) -> None:
        """Serve whoever connects to a unix socket that listens; `stop` closes it, and leaves its path."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Front(self), sock=listening, **_KEEP_PATH)

    async def stop(self, grace: float = 10.0) -> None:
        """Accept no more fronts, answer what was asked, and let the replicas go.

        A front told to leave closes its connection when it has its answers; after `grace` seconds the
        connections of those that have not are closed.
        """
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for front in self._fronts:
            front.say_goodbye()
        try:
            async with asyncio.timeout(grace):
                await self.alone.wait()
        except TimeoutError:
            log.warning("%r: not all is answered after %g s", self, grace)
        self.replicas.close()
        for front in list(self._fronts):
            front.close()

    def forget(self) -> None:
        """Close the connections in a fork of this process: they are not its own."""
        for front in self._fronts:
            with suppress(OSError):
                os.close(front.descriptor)

    def joined(self, front: "_Front") -> None:
        """A front has connected."""
        self._fronts.add(front)
        self.alone.clear()

    def left(self, front: "_Front") -> None:
        """A front has gone."""
        self._fronts.discard(front)
        if not self._fronts:
            self.alone.set()

    def submit(self, ask: hop.Ask, instances: Instances, asked: "_Asked") -> None:
        """Queue each request of an ask; raises Malformed where an input is missing."""
        group: Hashable = _canonical(ask.parameters)
        if self._dynamic:
            try:
                shapes = tuple(instances.columns[name].shape[1:] for name in self._dynamic)
            except KeyError as error:
                raise hop.Malformed(f"an ask without the input {error}") from None
            group = (group, shapes)
        now, parameters, answered = self.replicas.clock(), ask.parameters, asked.answered
        asked.requests += [
            _Part(part, parameters, group, now, deadline, answered, index)
            for index, (part, deadline) in enumerate(
                zip(instances.split(ask.counts), ask.deadlines, strict=True)
            )
        ]
        self.replicas.submit_together(asked.requests)


class _Part(Pending):
    """A request of an ask. One that is being predicted gets the answer of the model, whoever waits for it:
    the front takes the answer for the sign that the replica has room for another batch."""

    __slots__ = ()

    def answer(self, answer: Answer) -> None:
        """Answer, unless the model will."""
        if self.taken is None:
            if isinstance(answer, DeadlineExceeded):  # of the time before it came here, nothing is known
                answer = DeadlineExceeded("no answer in time: it was waiting in the replica process")
            super().answer(answer)


class _Asked:
    """An ask whose requests are not all answered yet. Those that are do not wait for the others."""

    __slots__ = ("_answers", "_front", "_left", "_soon", "id", "requests")

    def __init__(self, front: "_Front", ask: hop.Ask) -> None:
        self.id = ask.id
        self.requests: list[Pending] = []
        self._front = front
        self._answers: list[Answer | None] = [None] * len(ask.counts)
        self._left = len(ask.counts)
        self._soon: bool | None = None  # whether what is answered is sent soon, once that is known

    def answered(self, pending: Pending, answer: Answer) -> None:
        """Keep an answer; the last one sends them all, or else the end of the event loop's turn."""
        self._answers[pending.caller] = answer
        self._left -= 1
        if not self._left:
            self._front.reply(self.id, self._answers, last=True)
        elif self._soon is None and type(answer) is not Cancelled:
            self._soon = self._front.is_behind()  # if not, the others are answered in this turn, too
            if self._soon:
                asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._soon = None
        if self._left:
            answers, self._answers = self._answers, [None] * len(self._answers)
            self._front.reply(self.id, answers)


class _Front(asyncio.Protocol):
    """A connection from one front."""

    def __init__(self, server: ReplicaServer) -> None:
        self.asked: dict[int, _Asked] = {}
        self._server = server
        self._frames = hop.Frames()
        self._transport: asyncio.Transport | None = None
        self.descriptor = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Greet it."""
        if self._server.stopping:
            transport.abort()
            return
        self._transport = transport
        self.descriptor = transport.get_extra_info("socket").fileno()
        self._server.joined(self)
        transport.write(hop.write(hop.Hello(hop.VERSION, os.getpid())))

    def data_received(self, data: bytes) -> None:
        """Queue whatever asks are complete."""
        try:
            for frame in self._frames.feed(data):
                message = hop.read_ask(frame)
                if isinstance(message, hop.Cancel):
                    self._cancel(message)
                else:
                    self._ask(*message)
        except hop.Malformed as error:
            log.error("a front is not understood, and its connection closed: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has left: run nothing that it still waits for."""
        self._transport = None
        self._server.left(self)
        for asked in list(self.asked.values()):
            for pending in asked.requests:
                pending.abandon()

    def say_goodbye(self) -> None:
        """Tell it to ask no more."""
        if self._transport is not None:
            self._transport.write(hop.write(hop.Goodbye()))

    def close(self) -> None:
        """Close the connection when what was written to it is sent."""
        if self._transport is not None:
            self._transport.close()

    def is_behind(self) -> bool:
        """Whether there are requests that have no answer after those of this turn of the event loop."""
        return self._server.replicas.is_behind

    def reply(self, id_: int, answers: Sequence[Answer | None], *, last: bool = False) -> None:
        """Send the answers of an ask; no others follow the last ones."""
        if last:
            del self.asked[id_]
        if self._transport is not None:
            self._transport.write(hop.write_answers(id_, answers))

    def _ask(self, ask: hop.Ask, instances: Instances) -> None:
        if ask.id in self.asked:
            raise hop.Malformed(f"an ask with the id {ask.id}, which has no answer yet")
        asked = self.asked[ask.id] = _Asked(self, ask)
        self._server.submit(ask, instances, asked)

    def _cancel(self, cancel: hop.Cancel) -> None:
        asked = self.asked.get(cancel.id)
        if asked is None:
            return  # its answer is on the way
        requests = asked.requests
        for index in cancel.requests:
            if index >= len(requests):
                raise hop.Malformed(f"{cancel}: there are {len(requests)} requests")
            requests[index].abandon()
