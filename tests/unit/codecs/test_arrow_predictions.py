import numpy as np
import pyarrow as pa
import pytest

from trivet.codecs.arrow_predictions import ArrowEncoder, Output
from trivet.core.errors import Internal
from trivet.core.instances import Predictions, object_column

FLOATS = pa.list_(pa.float64())


def encode(outputs, **columns):
    count = len(next(iter(columns.values())))
    encoder = ArrowEncoder([Output(*one) for one in outputs])
    return encoder.encode(Predictions(columns, count)).to_pylist()


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (np.float32([0.1, np.nan]), pa.float64(), [float(np.float32(0.1)), None]),
        (np.float64([[1.5], [2]]), pa.float64(), [1.5, 2.0]),
        (np.float16([0.5, 2]), pa.float64(), [0.5, 2.0]),
        (np.arange(4.0)[::-2], pa.float64(), [3.0, 1.0]),
        (
            np.frombuffer(b"-" + np.float64([1.5, 2]).tobytes(), np.float64, offset=1),
            pa.float64(),
            [1.5, 2.0],
        ),
        (np.zeros(0, np.float32), pa.float64(), []),
        (np.int8([1, -1]), pa.int64(), [1, -1]),
        (np.uint64([1, 2**63 - 1]), pa.int64(), [1, 2**63 - 1]),
        (np.array([1.0, 2.0]), pa.int64(), [1, 2]),
        (np.array([True, False]), pa.bool_(), [True, False]),
        (np.array(["a", "b"]), pa.string(), ["a", "b"]),
        (object_column(["a", None]), pa.string(), ["a", None]),
        (object_column([b"a", b""]), pa.binary(), [b"a", b""]),
        (np.float32([[1, 2], [3, 4]]), FLOATS, [[1.0, 2.0], [3.0, 4.0]]),
        (np.float32([1, 2]), FLOATS, [[1.0], [2.0]]),
        (np.zeros((2, 0)), FLOATS, [[], []]),
        (np.arange(8).reshape(2, 2, 2), FLOATS, [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]),
        (object_column([[1, 2], None]), FLOATS, [[1.0, 2.0], None]),
        (np.broadcast_to(np.array(["a", "b"], object), (2, 2)), pa.list_(pa.string()), [["a", "b"]] * 2),
    ],
)
def test_answers_become_columns(column, kind, expected):
    found = [row["y"] for row in encode([("y", kind)], anything=column)]
    assert [None if one != one else one for one in found] == expected  # noqa: PLR0124 - NaN


def test_nan_is_no_null():
    encoder = ArrowEncoder([Output("y", pa.float64())])
    made = encoder.encode(Predictions({"y": np.array([np.nan])}, 1))
    assert made.field(0).null_count == 0


def test_outputs_are_found_by_name_and_else_by_place():
    outputs = [("b", pa.float64()), ("a", pa.int64())]
    assert encode(outputs, a=np.array([1]), b=np.array([2.5])) == [{"b": 2.5, "a": 1}]
    assert encode(outputs, x=np.array([2.5]), y=np.array([1])) == [{"b": 2.5, "a": 1}]


def test_objects_are_taken_apart():
    rows = object_column([{"a": 1, "b": "x", "c": 0}, {"a": None}, None])
    assert encode([("a", pa.float64()), ("b", pa.string())], prediction=rows) == [
        {"a": 1.0, "b": "x"},
        {"a": None, "b": None},
        {"a": None, "b": None},
    ]
    assert encode([("a", pa.float64())], prediction=object_column([{"a": 1}])) == [{"a": 1.0}]
    assert encode([("a", pa.float64())], prediction=object_column([1])) == [{"a": 1.0}]


def test_json_stays_as_it_is():
    rows = object_column([{"a": [1, None]}, None, "x"])
    assert encode([("p", pa.string(), True)], prediction=rows) == [
        {"p": '{"a":[1,null]}'},
        {"p": None},
        {"p": '"x"'},
    ]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (np.array([1.5]), pa.int64(), "y: the model gave what is no int64: "),
        (np.zeros((1, 2)), pa.float64(), "y: the model gave what is no double: arrays of shape [2]"),
        (object_column(["x"]), pa.float64(), "y: the model gave what is no double: "),
        (np.uint64([2**64 - 1]), pa.int64(), "y: the model gave what is no int64: "),
    ],
)
def test_what_is_not_what_was_said_is_the_models_fault(column, kind, message):
    with pytest.raises(Internal) as raised:
        encode([("y", kind)], y=column)
    assert str(raised.value).startswith(message)


def test_too_few_answers_are_the_models_fault():
    encoder = ArrowEncoder([Output("y", pa.float64())])
    with pytest.raises(Internal, match="y: the model gave 1 values for 2 instances"):
        encoder.encode(Predictions({"y": np.array([1.0])}, 2))
    with pytest.raises(Internal, match="the model gave a, b; expected y"):
        encoder.encode(Predictions({"a": np.array([1.0]), "b": np.array([1.0])}, 1))


def test_no_answer_is_a_null():
    encoder = ArrowEncoder([Output("y", pa.float64()), Output("z", FLOATS)])
    assert encoder.empty(2).to_pylist() == [None, None]
