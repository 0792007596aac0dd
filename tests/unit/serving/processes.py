"""What tests of the hop between processes share: both ends live in one event loop, with sockets between."""

import asyncio
import functools
import inspect
import os
import socket
import time
import warnings

import numpy as np
import pytest
import uvloop

from tests.unit.serving.models import SIGNATURE, Doubler
from trivet.core.instances import Instances
from trivet.serving import hop
from trivet.serving.batching import BatchLimits
from trivet.serving.process_replicas import ProcessReplicas
from trivet.serving.replica import InlineReplica, Some, predict_parts
from trivet.serving.replica_server import ReplicaServer
from trivet.serving.replica_set import ReplicaSet
from trivet.serving.running import BatchMetrics
from trivet.telemetry import ROWS, SECONDS, Histogram

NEVER = float("inf")


def on_both_loops(test):
    """Run a test on asyncio's event loop and on uvloop's."""

    def run(new_loop, **fixtures):
        with warnings.catch_warnings():
            # as an error, it makes uvloop hang when a test that failed leaves a socket open
            warnings.simplefilter("default", ResourceWarning)
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(test(**fixtures))

    functools.update_wrapper(run, test)
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    own = inspect.signature(test).parameters.values()
    run.__signature__ = inspect.Signature([*own, loop])
    return pytest.mark.parametrize(
        "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )(run)


async def until(condition):
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what a server has read, it tells nobody
            await asyncio.sleep(0)


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, 10)


def listen(path):
    """Return what a supervisor holds: a socket at which it listens whatever its processes do."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    return listening


class Scripted(asyncio.Protocol):
    """A replica process of the test: it keeps what it is asked, and answers or dies when told to."""

    def __init__(self, path):
        self.listening, self.transport, self.server = listen(path), None, None
        self.asks, self.cancelled = asyncio.Queue(), asyncio.Queue()

    async def start(self):
        loop = asyncio.get_running_loop()
        self.frames = hop.Frames()
        self.server = await loop.create_unix_server(lambda: self, sock=self.listening.dup())
        return self

    def connection_made(self, transport):
        self.transport = transport
        transport.write(hop.write(hop.Hello(hop.VERSION, os.getpid())))

    def data_received(self, data):
        for frame in self.frames.feed(data):
            message = hop.read_ask(frame)
            if isinstance(message, hop.Cancel):
                self.cancelled.put_nowait(message)
            else:
                self.asks.put_nowait(message)

    async def asked(self):
        return (await soon(self.asks.get()))[0]

    def answer(self, ask):
        """Answer every request with its rows' number."""
        predictions = [Instances.of({"y": np.full(count, count)}) for count in ask.counts]
        self.transport.write(hop.write(hop.Answered(ask.id, hop.pack(Instances.join(predictions)))))

    def die(self):
        self.server.close()
        self.transport.abort()


class Held:
    """A replica that predicts only when the test lets it."""

    slots = lanes = 1
    blocks = False

    def __init__(self, predictor):
        self.predictor, self.batches = predictor, asyncio.Queue()
        self.begun = asyncio.Event()

    def run(self, parts, parameters, deadlines, done):
        self.begun.set()
        self.batches.put_nowait((parts, parameters, done))

    async def release(self):
        parts, parameters, done = await soon(self.batches.get())
        done(predict_parts(self.predictor, parts, parameters))

    def close(self):
        pass


def replica_set(replica, limits=None, clock=time.monotonic):
    metrics = BatchMetrics(Histogram(SECONDS), Histogram(SECONDS), Histogram(ROWS))
    return ReplicaSet([replica], limits or BatchLimits(), metrics, clock)


async def serve(path, replica=None, signature=SIGNATURE, **options):
    """Start a replica's server at a path."""
    server = ReplicaServer(replica_set(replica or InlineReplica(Doubler()), **options), signature)
    await server.start(listen(path))
    return server


def front(*paths, idempotent=True):
    return ProcessReplicas(paths, name="fraud@1", idempotent=idempotent)


def ask(replicas, *parts, deadline=NEVER, parameters=None):
    """Run a batch; the future has its answers, and a second answer would fail the test."""
    return send(replicas, *parts, deadline=deadline, parameters=parameters)[0]


def send(replicas, *parts, deadline=NEVER, parameters=None, early=None):
    """Run a batch; return the same future, and what tells that nobody waits for some parts.

    What some are answered before the others is added to `early`, by their places.
    """
    answered = asyncio.get_running_loop().create_future()

    def done(answers):
        if type(answers) is not Some:
            answered.set_result(answers)
        elif early is not None:
            assert early.keys().isdisjoint(answers.places), "a second answer"
            early.update(zip(answers.places, answers, strict=True))

    unwanted = replicas.run(parts, parameters or {}, [deadline] * len(parts), done)
    return answered, unwanted


async def ended(*ends):
    """Close everything, so that nothing is left in the loop."""
    for end in ends:
        if isinstance(end, ReplicaServer):
            await end.stop(grace=5)
        elif isinstance(end, Scripted):
            end.server.close()
            end.listening.close()
            if end.transport is not None:
                end.transport.abort()
        else:
            end.close()
    await asyncio.sleep(0)


def ys(answers):
    return [answer.columns["y"].tolist() for answer in answers]


class Caller(asyncio.Protocol):
    """A front of the test that may leave at any time."""

    def __init__(self):
        self.received = bytearray()
        self.gone = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data

    def connection_lost(self, exc):
        self.gone.set()


async def call(path):
    _, caller = await asyncio.get_running_loop().create_unix_connection(Caller, str(path))
    await until(lambda: caller.received)
    return caller
