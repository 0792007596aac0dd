"""Messages between the supervisor and its processes, over real socket pairs."""

import asyncio
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.app.channel import BlockingChannel, Channel, Messages, encode
from trivet.app.messages import (
    AnswerSql,
    Doors,
    Exited,
    Failed,
    ForkFront,
    Gather,
    Load,
    Loaded,
    Measured,
    Message,
    Ready,
    Remote,
    Retire,
    Serve,
    Serving,
)
from trivet.core.errors import InvalidArgument
from trivet.core.names import ModelRef
from trivet.core.predictor import Traits
from trivet.core.signature import ParameterSpec, Signature, TensorSpec
from trivet.runtimes.base import Permissions
from trivet.serving import hop
from trivet.serving.lifecycle import ModelInfo, ModelSpec
from trivet.serving.placement import Placement, WarmUp
from trivet.settings import Log, Settings
from trivet.telemetry import Metrics

SPEC = ModelSpec(ModelRef("m", "2"), Path("/models/m"), output="detailed", placement="process")
INFO = ModelInfo(
    spec=SPEC,
    framework="sklearn",
    traits=Traits(native=True, idempotent=False),
    signature=Signature(
        inputs=(TensorSpec("features", "float64", (2,), ("a", "b"), nullable=True),),
        outputs=(TensorSpec("label", "string"),),
        classes=("no", 1, True, 2.5),
        parameters=(ParameterSpec("output", ("labels", "detailed")),),
        example=[1, {"deep": [None, "x"]}],
    ),
    defaults={"output": "detailed"},
    placement=Placement("process", "set by the user"),
    warm_up=WarmUp(1e-4, 2e-3, 64),
    size=7,
    load_seconds=0.5,
    slots=16,
)


def samples():
    metrics = Metrics()
    metrics.counter("requests_total", "Requests.", code="OK").add(3)
    metrics.histogram("seconds", "Time.", (0.1, 1)).observe(0.5)
    return metrics.samples()


MESSAGES: list[Message] = [
    Load([SPEC], Permissions(pickle=True, trusted_types=("a.B",)), Log(format="json"), 30),
    Loaded([INFO]),
    Failed("m-2", "m@2", hop.failure(InvalidArgument("no"))),
    Serve(
        Settings(),
        Serving(3, [Remote(INFO, ["/a.sock", "/b.sock"])], [SPEC], ["m-1"], []),
        True,
        Doors("/c", "/s"),
    ),
    AnswerSql(Settings(), "/data", "http://127.0.0.1:8080", "localhost:8443"),
    Retire(1.5, 0, 30),
    Measured(4, samples()),
    Exited(77, 9),
    Ready(),
]


@given(cuts=st.lists(st.integers(1, 400), max_size=40))
def test_messages_arrive_as_they_were_however_they_are_cut(cuts):
    data = b"".join(encode(message) for message in MESSAGES)
    messages, received = Messages(), []
    for cut in [*cuts, len(data)]:
        received += messages.feed(data[:cut])
        data = data[cut:]
    assert received == MESSAGES
    loaded = received[1]
    assert loaded.models[0].signature.example == INFO.signature.example  # which does not count for equality
    assert repr(loaded.models[0].signature.classes) == repr(INFO.signature.classes)  # nor do types


async def test_sockets_travel_with_messages():
    own, other = socket.socketpair()
    channel = await Channel.open(own, lambda message: None, lambda: None)
    blocking = BlockingChannel(other)
    here, there = socket.socketpair()
    channel.send(ForkFront(1), [there])
    channel.send(ForkFront(2), [there])
    assert blocking.receive() == ForkFront(1)
    assert blocking.receive() == ForkFront(2)
    first, second = (socket.socket(fileno=blocking.descriptors.popleft()) for _ in range(2))
    first.sendall(b"it is ")
    second.sendall(b"the same socket")
    assert here.recv(100) == b"it is the same socket"
    channel.close()
    for one in (here, there, first, second, other):
        one.close()
    await asyncio.sleep(0)


async def test_the_end_of_the_other_side_is_heard_and_what_is_told_it_then_is_lost():
    own, other = socket.socketpair()
    heard, ended = [], asyncio.Event()
    channel = await Channel.open(own, heard.append, ended.set)
    other.sendall(encode(Gather(1)))
    other.close()
    async with asyncio.timeout(5):
        await ended.wait()
    assert heard == [Gather(1)]
    channel.send(Ready())
    channel.close()


async def test_who_is_told_to_finish_may_still_speak():
    own, other = socket.socketpair()
    heard, ended = [], asyncio.Event()
    channel = await Channel.open(own, heard.append, ended.set)
    blocking = BlockingChannel(other)
    channel.send(Ready())
    channel.finish()
    assert blocking.receive() == Ready()
    assert blocking.receive() is None
    blocking.send(Measured(0, samples()))
    blocking.close()
    async with asyncio.timeout(5):
        await ended.wait()
    assert heard == [Measured(0, samples())]


def test_what_cannot_be_told_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="object is nothing to tell another process"):
        encode(Measured(0, [object()]))
