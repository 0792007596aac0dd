"""A replica process: one model, asked by every front over a unix socket."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from dataclasses import replace

import uvloop

from trivet.app import logs
from trivet.app.child import settle
from trivet.app.control import (
    BlockingChannel,
    Channel,
    Failed,
    Load,
    Loaded,
    Loading,
    Measure,
    Measured,
    Message,
    Ready,
)
from trivet.core.errors import model_error
from trivet.serving import hop
from trivet.serving.lifecycle import LoadedModel, load
from trivet.serving.plane import batch_metrics, local_replica
from trivet.serving.replica import FAULTS, Awaited
from trivet.serving.replica_server import ReplicaServer
from trivet.serving.replica_set import ReplicaSet
from trivet.telemetry import Metrics


def run_alone(control: socket.socket, listening: socket.socket) -> None:
    """Load the model that the supervisor names, and serve it."""
    channel = BlockingChannel(control)
    asked = channel.receive()
    if not isinstance(asked, Load):
        return
    logs.configure(asked.log)
    spec = asked.specs[0]
    channel.send(Loading(str(spec.ref)))
    try:
        model = load(spec, asked.permissions)
    except FAULTS as error:
        channel.send(Failed(str(spec.ref), hop.failure(model_error(error))))
        return
    settle()
    channel.send(Loaded([model.info]))
    run(control, listening, model)
    # the model's own threads may run on, and must not keep the process
    os._exit(0)


def run(control: socket.socket, listening: socket.socket, model: LoadedModel) -> None:
    """Serve a model until the supervisor ends the conversation."""
    uvloop.run(_serve(control, listening, model))


async def _serve(control: socket.socket, listening: socket.socket, model: LoadedModel) -> None:
    metrics = Metrics()
    over = asyncio.Event()

    def received(message: Message) -> None:
        if isinstance(message, Measure):
            channel.send(Measured(message.id, metrics.samples()))

    channel = await Channel.open(control, received, over.set)
    ref = model.info.spec.ref
    labels = {"model": ref.name, "version": ref.version}
    measured = batch_metrics(metrics, labels, "trivet_replica")
    # what may wait here is bounded by the fronts, each of which asks for few batches at a time
    limits = replace(model.info.spec.limits, max_queued_rows=sys.maxsize, max_wait=0.0)
    replicas = ReplicaSet([local_replica(model)], limits, measured)
    server = ReplicaServer(replicas, model.info.signature)
    listening.setblocking(False)
    await server.start(listening)
    channel.send(Ready())
    await over.wait()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.stop(), 5)
    if isinstance(model.predictor, Awaited):
        model.predictor.close()
