import contextlib
import itertools
import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.core.errors import Code, Internal, InvalidArgument, ResourceExhausted, ServingError, Unavailable
from trivet.core.instances import Instances, Predictions, object_column
from trivet.serving import hop

contents = st.lists(st.binary(max_size=40), max_size=6)


def framed(content):
    return len(content).to_bytes(4, "little") + content


def cut(data, places):
    """Cut bytes into pieces at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def read_back(frame):
    """Return what the other side reads of a reply."""
    (content,) = hop.Frames().feed(bytes(frame))
    return hop.read_reply(content)


def numbers(*values, dtype="float64"):
    return Predictions.of({"y": np.array(values, dtype)})


@given(contents, st.lists(st.integers(0, 300), max_size=20))
def test_any_cutting_of_the_stream_gives_the_same_frames(contents, places):
    frames = hop.Frames()
    stream = b"".join(map(framed, contents))
    assert [bytes(one) for piece in cut(stream, places) for one in frames.feed(piece)] == contents


def test_a_stream_may_come_byte_by_byte():
    frames = hop.Frames()
    stream = framed(b"one") + framed(b"") + framed(b"three")
    got = [bytes(one) for byte in stream for one in frames.feed(bytes([byte]))]
    assert got == [b"one", b"", b"three"]


def test_a_large_frame_is_put_together_once():
    frames = hop.Frames()
    piece, pieces = bytes(1 << 12), 1 << 12  # a quadratic reader would copy 32 GiB
    assert not list(frames.feed((len(piece) * pieces).to_bytes(4, "little")))
    got = [one for _ in range(pieces) for one in frames.feed(piece)]
    assert [len(one) for one in got] == [len(piece) * pieces]


@pytest.mark.parametrize("places", [[], [3], [8], [9, 10]])
def test_what_precedes_an_oversized_frame_is_read(places):
    frames, pieces = hop.Frames(limit=10), cut(framed(b"good") + framed(bytes(11)), places)
    read = (bytes(one) for piece in pieces for one in frames.feed(piece))
    assert next(read) == b"good"
    with pytest.raises(hop.Malformed, match="a frame of 11 bytes; at most 10"):
        next(read)


@given(st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(content):
    for read in (hop.read_ask, hop.read_reply):
        with contextlib.suppress(hop.Malformed):
            read(memoryview(content))


@given(st.data())
def test_a_damaged_frame_is_malformed_or_read(data):
    frame = hop.write_ask(7, [Instances.of({"x": np.ones((2, 2)), "y": object_column("ab")})], {}, [1.0])[0]
    frame[data.draw(st.integers(4, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(hop.Malformed):
        hop.read_ask(memoryview(frame)[4:])


def test_an_ask_arrives_as_it_was_sent():
    parts = [
        Instances.of(
            {"x": np.full((count, 2), float(count), "float32"), "any": object_column([None] * count)}
        )
        for count in (1, 3)
    ]
    frame, counts = hop.write_ask(2**40, parts, {"explain": True, "big": 2**80}, [12.5, 13.0])
    ask, instances = hop.read_ask(memoryview(frame)[4:])
    assert (ask.id, ask.deadlines, ask.parameters) == (2**40, [12.5, 13.0], {"explain": True, "big": 2**80})
    assert ask.counts == counts == [1, 3]
    assert instances.columns["x"].tolist() == [[1.0, 1.0]] + [[3.0, 3.0]] * 3
    assert instances.columns["any"].tolist() == [None] * 4
    instances.columns["x"][0] = 5  # it is the reader's own


@pytest.mark.parametrize("counts", [[], [1], [1, 2], [3, -1]])
def test_an_ask_whose_counts_do_not_fit_is_malformed(counts):
    frame = hop.write(hop.Ask(1, [1.0] * len(counts), {}, counts, hop.pack(Instances.of({"x": np.ones(2)}))))
    with pytest.raises(hop.Malformed):
        hop.read_ask(memoryview(frame)[4:])


def test_a_frame_beyond_the_limit_is_not_written(monkeypatch):
    monkeypatch.setattr(hop, "MAX_FRAME", 1000)
    with pytest.raises(ValueError, match="at most 1000 can be sent"):
        hop.write_ask(1, [Instances.of({"x": np.ones(200)})], {}, [1.0])
    told = read_back(hop.write_answers(1, [numbers(*range(100)), numbers(*range(100))]))
    assert [type(answer) for answer in hop.answers(told, [100, 100])] == [Internal, Internal]


@pytest.mark.parametrize("message", [hop.Hello(1, 4711), hop.Goodbye()])
def test_greetings_arrive(message):
    assert read_back(hop.write(message)) == message


def test_predictions_are_joined_and_split_again():
    told = read_back(hop.write_answers(3, [numbers(1, 2), numbers(3)]))
    assert isinstance(told, hop.Answered)
    first, second = hop.answers(told, [2, 1])
    assert (first.columns["y"].tolist(), second.columns["y"].tolist()) == ([1.0, 2.0], [3.0])


@pytest.mark.parametrize(
    "other",
    [
        numbers(3, dtype="int64"),
        Predictions.of({"z": np.array([3.0])}),
        Predictions.of({"y": np.array([[3.0]])}),
        Predictions.of({"y": np.array([3.0]), "z": np.array([3.0])}),
    ],
)
def test_predictions_that_differ_in_kind_stay_as_they_are(other):
    told = read_back(hop.write_answers(3, [numbers(1, 2), other]))
    assert isinstance(told, hop.Separate)
    _, arrived = hop.answers(told, [2, 1])
    assert list(arrived.columns) == list(other.columns)
    for name, column in other.columns.items():
        assert arrived.columns[name].dtype == column.dtype
        assert arrived.columns[name].tolist() == column.tolist()


def test_only_the_prediction_that_json_does_not_have_is_refused():
    good, odd = (Predictions.of({"y": object_column([value])}) for value in ({"a": math.nan}, {"a": 1j}))
    told = read_back(hop.write_answers(3, [good, odd, good]))
    first, refused, last = hop.answers(told, [1, 1, 1])
    assert isinstance(refused, Internal)
    assert str(refused) == (
        "the prediction cannot be written as JSON: Encoding objects of type complex is unsupported"
    )
    assert first.count == last.count == 1


@pytest.mark.parametrize("kind", ServingError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_what_it_was(kind):
    (answer,) = hop.answers(read_back(hop.write_answers(1, [kind("why, in \ud800 words")])), [1])
    assert type(answer) is kind
    assert answer.code in Code
    assert str(answer) == "why, in \\ud800 words"
    assert answer.__cause__ is None


def test_a_full_queue_tells_when_to_come_back():
    told = read_back(hop.write_answers(1, [ResourceExhausted("full", 2.5), numbers(1)]))
    refused, _ = hop.answers(told, [1, 1])
    assert refused.retry_after == 2.5


def test_the_traceback_of_a_model_reaches_the_log(caplog):
    try:
        raise ZeroDivisionError("unlucky")
    except ZeroDivisionError as error:
        failed = Internal("the model failed")
        failed.__cause__ = error
    (answer,) = hop.answers(read_back(hop.write_answers(1, [failed])), [1])
    logging.getLogger("test").error("it failed", exc_info=answer.__cause__)
    assert "ZeroDivisionError: unlucky" in caplog.text
    assert "in test_the_traceback_of_a_model_reaches_the_log" in caplog.text
    assert "unlucky" not in str(answer)


@pytest.mark.parametrize(
    ("answers", "counts"),
    [([numbers(1, 2)], [1]), ([numbers(1), Unavailable("x")], [1]), ([InvalidArgument("x")], [1, 1])],
)
def test_answers_that_do_not_fit_the_ask_are_malformed(answers, counts):
    with pytest.raises(hop.Malformed):
        hop.answers(read_back(hop.write_answers(1, answers)), counts)


def test_a_cancellation_arrives():
    cancel = hop.Cancel(2**40, [0, 7])
    assert hop.read_ask(memoryview(hop.write(cancel))[4:]) == cancel


def test_an_ask_with_a_deadline_too_few_is_malformed():
    frame = hop.write(hop.Ask(1, [1.0], {}, [1, 1], hop.pack(Instances.of({"x": np.ones(2)}))))
    with pytest.raises(hop.Malformed, match="1 deadlines of 2 requests"):
        hop.read_ask(memoryview(frame)[4:])
