"""The process that keeps an application: fronts ask that directly, and hear from here how it is.

It ends with its application, and another takes its place.
"""

import asyncio
import socket
from contextlib import suppress

import uvloop

from trivet.app.channel import Channel
from trivet.app.messages import Measure, Measured, Message, Ready
from trivet.containers.life import Listening, State
from trivet.core.predictor import Closing
from trivet.serving.announce import Announcer
from trivet.serving.lifecycle import LoadedModel
from trivet.serving.offload import apart
from trivet.serving.plane import labels_of
from trivet.telemetry import Metrics


def run(control: socket.socket, listening: socket.socket, model: LoadedModel, grace: float) -> int:
    """Keep a model's application until the supervisor ends the conversation, and then until nobody asks it.

    The fronts have `grace` seconds for what is in flight. Returns the status to end with: 1 where the
    application has ended of its own.
    """
    return uvloop.run(_keep(control, listening, model, grace))


async def _keep(control: socket.socket, listening: socket.socket, model: LoadedModel, grace: float) -> int:
    predictor = model.predictor
    assert isinstance(predictor, Listening)
    loop, metrics = asyncio.get_running_loop(), Metrics()
    dismissed, ended = asyncio.Event(), asyncio.Event()

    def received(message: Message) -> None:
        if isinstance(message, Measure):
            channel.send(Measured(message.id, metrics.samples()))

    def heard(state: State) -> None:
        announcer.tell(state)
        if state.over:
            ended.set()

    def tell(state: State) -> None:
        loop.call_soon_threadsafe(heard, state)

    channel = await Channel.open(control, received, dismissed.set, last_word=True)
    announcer = Announcer(predictor.state)
    metrics.gauge(
        "trivet_containers_well",
        "Applications of a model's container that take requests.",
        lambda: float(announcer.state.well),
        **labels_of(model.info.spec),
    )
    predictor.watch(tell)
    await announcer.start(listening)
    channel.send(Ready())
    over = [asyncio.ensure_future(one.wait()) for one in (dismissed, ended)]
    await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
    if not ended.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(announcer.alone.wait(), grace)
    status = int(ended.is_set())  # why, the application's life has told in the log
    announcer.stop()
    if isinstance(predictor, Closing):
        await apart(predictor.close, "end of an application")
    for one in over:
        one.cancel()
    channel.send(Measured(0, metrics.samples()))
    channel.close()
    return status
