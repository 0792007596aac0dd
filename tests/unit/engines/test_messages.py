"""What the embedded engine and its workers tell each other comes as it went."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.batch import Counts, InstanceConfig, RowFailure, Shard, ShardResult
from trivet.core.names import ModelRef
from trivet.engines.messages import Do, Done, Further, Messages, Planned, Prepare, send
from trivet.jobs.engine import Reading
from trivet.jobs.work import Endpoint, Prepared, Work
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec
from trivet.sinks.base import Outputs
from trivet.sources.base import Inputs

WORK = Work(
    job="j",
    source="csv",
    sink="jsonl",
    inputs=Inputs(("a", "b"), {"gs://x": "/x"}, ("/in",), "/s", True, 5, 6, {"sql": "select 1"}),
    outputs=Outputs("out", "n", "/s", True, {}, None, ("a", "b"), [{"name": "a", "fields": [{"n": 1}]}], {}),
    instances=InstanceConfig("object", "id", ("a",), ()),
    model=ModelSpec(ModelRef("m"), Path("/m"), "echo", model="projects/p/locations/l/models/m"),
    permissions=Permissions(pickle=True, trusted_types=("a.B",)),
    parameters={"deep": [1, {"x": None}], "big": 2**63},
    batch_size=7,
    native=False,
)
SHARD = Shard(3, "gs://x/ü", 1, 2**53 + 1, 5, 6, {"etag": "e", "groups": [1, 2]})
MESSAGES = [
    Prepare(WORK),
    Do(Work("j", "a", "b", WORK.inputs, WORK.outputs, endpoint=Endpoint("http://x", {"a": "b"})), SHARD),
    Planned(Prepared(("w",), "[1]", ("a",), ({"name": "a"},), "echo"), [SHARD, SHARD]),
    Further(Reading(3, Counts(3, 2, 1), 9)),
    Done(ShardResult(3, Counts(3, 2, 1), (RowFailure("u", 1, 3, "m"),), {"results-00003": 5})),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.integers(1, 4000))
def test_messages_come_as_they_went_in_whatever_pieces(messages, size):
    own, other = socket.socketpair()
    with own, other:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for message in messages:
            send(own, message)
        own.shutdown(socket.SHUT_WR)
        read, came = Messages(), []
        while data := other.recv(size):
            came += read.feed(data)
    assert came == messages


def test_what_is_no_text_is_not_sent_in_part():
    own, other = socket.socketpair()
    with own, other:
        with pytest.raises(UnicodeEncodeError):
            send(own, Planned(Prepared(), [Shard(0, "\udcff.jsonl")]))
        own.close()
        assert other.recv(10) == b""
