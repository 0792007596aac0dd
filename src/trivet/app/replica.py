"""A replica process: one model, asked by every front over a unix socket.

One whose model is an application of its own only keeps that (`keeper`).
"""

import asyncio
import os
import select
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import uvloop

from trivet.app import keeper, logs
from trivet.app.channel import BlockingChannel, Channel
from trivet.app.child import settle
from trivet.app.messages import (
    Failed,
    Load,
    Loaded,
    Loading,
    Measure,
    Measured,
    Message,
    Ready,
)
from trivet.containers.life import Listening
from trivet.core.errors import model_error
from trivet.core.predictor import Closing
from trivet.serving import hop
from trivet.serving.lifecycle import LoadedModel, load
from trivet.serving.plane import batch_metrics, labels_of
from trivet.serving.replica import FAULTS, Awaited, InlineReplica, Replica, ThreadReplica
from trivet.serving.replica_server import ReplicaServer
from trivet.serving.replica_set import ReplicaSet
from trivet.telemetry import Metrics

_GRACE = 5.0
"""Seconds that the answers asked for have, once the supervisor has ended the conversation."""


def run_alone(control: socket.socket, listening: socket.socket) -> None:
    """Load the model that the supervisor names, and serve it."""
    channel = BlockingChannel(control)
    asked = channel.receive()
    if not isinstance(asked, Load):
        return
    watches = (control.dup(), asked.grace + _GRACE)
    threading.Thread(target=_outlive, args=watches, name="outlives nobody", daemon=True).start()
    logs.configure(asked.log)
    spec = asked.specs[0]
    channel.send(Loading(spec.id, str(spec.ref)))
    try:
        model = load(spec, asked.permissions)
    except FAULTS as error:
        channel.send(Failed(spec.id, str(spec.ref), hop.failure(model_error(error))))
        os._exit(1)  # whatever threads the model's code may have started
    settle()
    channel.send(Loaded([model.info]))
    if isinstance(model.predictor, Listening):
        status = keeper.run(control, listening, model, asked.grace)
        os._exit(status)
    run(control, listening, model, asked.grace)
    # the model's own threads may run on, and must not keep the process
    os._exit(0)


def run(control: socket.socket, listening: socket.socket, model: LoadedModel | None, grace: float) -> None:
    """Serve a model until the supervisor ends the conversation, and then until the fronts have left.

    The supervisor ends it when they have; if it was killed, they have `grace` seconds for what is in flight.
    """
    if model is not None:
        uvloop.run(_serve(control, listening, model, grace))


async def _serve(control: socket.socket, listening: socket.socket, model: LoadedModel, grace: float) -> None:
    metrics = Metrics()
    over = asyncio.Event()

    def received(message: Message) -> None:
        if isinstance(message, Measure):
            channel.send(Measured(message.id, metrics.samples()))

    channel = await Channel.open(control, received, over.set, last_word=True)
    labels = labels_of(model.info.spec)
    measured = batch_metrics(metrics, labels, "trivet_replica")
    # what may wait here is bounded by the fronts, each of which asks for few batches at a time
    limits = replace(model.info.spec.limits, max_queued_rows=sys.maxsize, max_wait=0.0)
    # and each of them has refused already whom it could not answer in time
    replicas = ReplicaSet([_replica(model)], limits, measured, warm_up=model.info.warm_up, refuses_late=False)
    metrics.gauge("trivet_queue_rows", "Rows waiting for a replica.", lambda: replicas.queue.rows, **labels)
    server = ReplicaServer(replicas, model.info.signature)
    listening.setblocking(False)
    await server.start(listening)
    # what the model's code forks must not keep connections open after this process
    os.register_at_fork(after_in_child=server.forget)
    channel.send(Ready())
    await over.wait()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.alone.wait(), grace)
    with suppress(TimeoutError):
        await asyncio.wait_for(server.stop(), _GRACE)
    channel.send(Measured(0, metrics.samples()))
    channel.close()
    if isinstance(model.predictor, Closing):
        model.predictor.close()


def _replica(model: LoadedModel) -> Replica:
    """Return what runs the model: the event loop only where batches are short, else it would hear nothing."""
    if model.info.quick and not isinstance(model.predictor, Awaited):
        return InlineReplica(model.predictor)
    name, loop = str(model.info.spec.ref), asyncio.get_running_loop()
    return ThreadReplica(model.predictor, loop, name, model.info.slots)


def _outlive(control: socket.socket, seconds: float) -> None:
    """End the process some seconds after the supervisor, whatever the model's code is doing then."""
    hung_up = select.poll()
    hung_up.register(control, 0)  # which reports that, and nothing else
    hung_up.poll()
    threading.Event().wait(seconds)
    os._exit(1)
