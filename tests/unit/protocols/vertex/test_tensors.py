import base64
import json
import math
import struct
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import InvalidArgument
from trivet.core.signature import Signature, TensorSpec
from trivet.protocols.vertex import tensor_answers, tensors
from trivet.protocols.vertex.direct import _direct, _read
from trivet.protocols.vertex.tensors import Tensor

ONE = Signature((TensorSpec("x", "float64"),))
TWO = Signature((TensorSpec("a", "float64"), TensorSpec("b", "string")))
MATRIX = Signature((TensorSpec("features", "float32", (2,), ("u", "v")),))
IMAGE = Signature((TensorSpec("image", "uint8", (2, 2)),))
ANY = Signature((TensorSpec("instance", "json"),))


def b64(content):
    return base64.b64encode(content).decode()


def read(given, signature):
    return tensors.rows(msgspec.convert(given, list[Tensor]), signature)


@pytest.mark.parametrize(
    ("signature", "inputs", "rows"),
    [
        (ONE, [{"doubleVal": [1, 2.5]}], [1.0, 2.5]),
        (ONE, [{"shape": ["2", 1], "floatVal": [1, 2]}], [[1.0], [2.0]]),
        (ONE, [{"int64Val": ["1", 2]}], [1, 2]),
        (ONE, [{"intVal": [1]}], [1]),
        (ONE, [{"uintVal": [1]}], [1]),
        (ONE, [{"uint64Val": ["18446744073709551615"]}], [18446744073709551615]),
        (ONE, [{"doubleVal": ["NaN", "-1.5"]}], [None, -1.5]),
        (ONE, [{"dtype": 4, "tensorVal": b64(struct.pack("<2d", 1, 2))}], [1.0, 2.0]),
        (ONE, [{"dtype": 3, "tensorVal": b64(struct.pack("<2f", 1, math.nan))}], [1.0, None]),
        (ONE, [{"dtype": "INT32", "shape": [2], "tensorVal": b64(struct.pack("<2i", 1, -2))}], [1, -2]),
        (ONE, [{"structVal": {"x": {"doubleVal": [1, 2]}}}], [{"x": 1.0}, {"x": 2.0}]),
        (ONE, [{"doubleVal": []}], []),
        (TWO, [{"doubleVal": [1, 2]}, {"stringVal": ["p", "q"]}], [[1.0, "p"], [2.0, "q"]]),
        (
            TWO,
            [{"structVal": {"b": {"stringVal": ["p", "q"]}, "a": {"doubleVal": [1, 2]}}}],
            [{"b": "p", "a": 1.0}, {"b": "q", "a": 2.0}],
        ),
        (MATRIX, [{"shape": ["2", "2"], "floatVal": [1, 2, 3, 4]}], [[1, 2], [3, 4]]),
        (MATRIX, [{"floatVal": [1, 2, 3, 4]}], [[1, 2], [3, 4]]),
        (MATRIX, [{"floatVal": [1, 3]}, {"floatVal": [2, 4]}], [[1, 2], [3, 4]]),
        (MATRIX, [{"listVal": [{"floatVal": [1, 2]}, {"floatVal": [3, 4]}]}], [[1, 2], [3, 4]]),
        (
            MATRIX,
            [{"structVal": {"u": {"floatVal": [1, 3]}, "v": {"floatVal": [2, 4]}}}],
            [{"u": 1, "v": 2}, {"u": 3, "v": 4}],
        ),
        (MATRIX, [{"structVal": {"features": {"floatVal": [1, 2]}}}], [{"features": [1, 2]}]),
        (IMAGE, [{"dtype": 9, "tensorVal": b64(bytes(range(8)))}], [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
        (IMAGE, [{"shape": [1, 2, 2], "intVal": [0, 1, 2, 3]}], [[[0, 1], [2, 3]]]),
        (ANY, [{"stringVal": ["x"]}], ["x"]),
        (ANY, [{"boolVal": [True, False]}], [True, False]),
        (ANY, [{"bytesVal": [b64(b"hi")]}], [{"b64": b64(b"hi")}]),
        (
            ANY,
            [{"listVal": [{"structVal": {"a": {"intVal": [1, 2]}}}, {"listVal": [{"stringVal": ["s"]}]}]}],
            [{"a": [1, 2]}, [["s"]]],
        ),
        (ANY, [{"structVal": {"a": {"structVal": {"b": {"intVal": [1]}}}}}], [{"a": {"b": 1}}]),
    ],
)
def test_tensors_become_rows(signature, inputs, rows):
    assert read(inputs, signature) == rows


@pytest.mark.parametrize(
    ("signature", "inputs", "said"),
    [
        (
            TWO,
            [{"doubleVal": [1]}],
            "inputs: expected 2 tensors (a, b), or one with a structVal by name; got 1",
        ),
        (TWO, [{"doubleVal": [1]}, {"stringVal": []}], "inputs[0] has 1, inputs[1] has 0"),
        (ONE, [{"shape": [3], "doubleVal": [1]}], "inputs[0].shape: [3] does not hold the 1 values given"),
        (ONE, [{"shape": [-1, -1], "doubleVal": [1]}], "inputs[0].shape: expected at most 32 sizes"),
        (ONE, [{"shape": [10**18, 0]}], "inputs[0].shape: expected at most 32 sizes"),
        (ONE, [{"shape": [1] * 1000, "doubleVal": [1]}], "inputs[0].shape: expected at most 32 sizes"),
        (ONE, [{"shape": ["x"], "doubleVal": [1]}], "inputs[0].shape: expected an integer"),
        (ONE, [{"int64Val": ["--1"]}], "inputs[0]: expected an integer of 64 bits"),
        (ONE, [{"int64Val": [10**40]}], "inputs[0]: expected an integer of 64 bits"),
        (ONE, [{"doubleVal": ["one"]}], 'inputs[0].doubleVal[0]: expected a number; got "one"'),
        (ONE, [{"doubleVal": [1, "-Infinity"]}], "inputs[0].doubleVal[1]: expected a number that is not inf"),
        (ONE, [{"floatVal": ["Infinity"]}], "inputs[0].floatVal[0]: expected a number that is not inf"),
        (ONE, [{"dtype": 4, "tensorVal": b64(struct.pack("<2d", 1, math.inf))}], "inputs[0].tensorVal[1]: "),
        (ONE, [{"tensorVal": b64(b"x")}], "inputs[0].dtype: tensorVal needs one of BOOL"),
        (ONE, [{"dtype": 99, "tensorVal": b64(b"x")}], "inputs[0].dtype: tensorVal needs one of BOOL"),
        (ONE, [{"dtype": 4, "tensorVal": b64(b"x")}], "expected 8 bytes for each DOUBLE; got 1 bytes"),
        (MATRIX, [{"floatVal": [1, 2, 3]}], "inputs[0]: expected a shape, or rows of 2 values; got 3"),
        (
            ANY,
            [{"structVal": {"a": {"intVal": [1, 2]}, "b": {"intVal": [1]}}}],
            "a has 2, b has 1",
        ),
    ],
)
def test_tensors_that_are_no_rows_are_named(signature, inputs, said):
    with pytest.raises(InvalidArgument) as raised:
        read(inputs, signature)
    assert said in str(raised.value)


def test_parameters_are_a_struct_of_single_values():
    given = {"structVal": {"output": {"stringVal": ["probabilities"]}, "k": {"intVal": [1, 2]}}}
    assert tensors.parameters(msgspec.convert(given, Tensor)) == {"output": "probabilities", "k": [1, 2]}
    assert tensors.parameters(None) is None
    assert tensors.parameters(Tensor()) is None


FLOATS = Signature((TensorSpec("x", "float32"),), (TensorSpec("y", "float32", (2,)),))
NAMED = Signature((TensorSpec("x", "float32"),), (TensorSpec("n", "int32"), TensorSpec("s", "string")))


@pytest.mark.parametrize(
    ("signature", "predictions", "outputs"),
    [
        (FLOATS, [[1, 2.5]], [{"dtype": "FLOAT", "floatVal": [1, 2.5], "shape": ["1", "2"]}]),
        (FLOATS, [[1, 2]], [{"dtype": "DOUBLE", "doubleVal": [1, 2], "shape": ["1", "2"]}]),
        (
            NAMED,
            [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}],
            [
                {
                    "structVal": {
                        "n": {"dtype": "INT32", "intVal": [1, 2], "shape": ["2"]},
                        "s": {"dtype": "STRING", "stringVal": ["a", "b"], "shape": ["2"]},
                    }
                }
            ],
        ),
        (ANY, [1, 2], [{"dtype": "INT64", "int64Val": ["1", "2"], "shape": ["2"]}]),
        (ANY, [10**30], [{"dtype": "STRING", "stringVal": [str(10**30)], "shape": ["1"]}]),
        (ANY, [True], [{"dtype": "BOOL", "boolVal": [True], "shape": ["1"]}]),
        (ANY, [{"b64": "aGk="}], [{"dtype": "STRING", "bytesVal": ["aGk="], "shape": ["1"]}]),
        (ANY, [1.5, None], [{"dtype": "DOUBLE", "doubleVal": [1.5, "NaN"], "shape": ["2"]}]),
        (ANY, [], [{"shape": ["0"]}]),
        (
            ANY,
            [1, None, "x", [True], {"a": 1.5}],
            [
                {
                    "listVal": [
                        {"dtype": "INT64", "int64Val": ["1"]},
                        {},
                        {"dtype": "STRING", "stringVal": ["x"]},
                        {"dtype": "BOOL", "boolVal": [True], "shape": ["1"]},
                        {"structVal": {"a": {"dtype": "DOUBLE", "doubleVal": [1.5]}}},
                    ]
                }
            ],
        ),
    ],
)
def test_predictions_become_tensors(signature, predictions, outputs):
    assert tensor_answers.outputs(predictions, signature) == outputs


@pytest.mark.parametrize(
    ("dtype", "values", "field"),
    [
        ("int8", [1], "intVal"),
        ("uint16", [1], "uintVal"),
        ("uint64", [2**64 - 1], "uint64Val"),
        ("uint64", [-1], "int64Val"),
        ("float64", [1], "doubleVal"),
    ],
)
def test_integers_are_written_as_the_output_is_declared(dtype, values, field):
    signature = Signature((TensorSpec("x", "float32"),), (TensorSpec("y", dtype),))
    [tensor] = tensor_answers.outputs(values, signature)
    assert [int(value) for value in tensor[field]] == values


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(deadline=None)  # the first one imports the client
@given(st.lists(values, max_size=5))
def test_any_prediction_is_a_tensor_that_googles_client_reads(predictions):
    v1 = pytest.importorskip("google.cloud.aiplatform_v1")
    json_format = pytest.importorskip("google.protobuf.json_format")
    answer = json.dumps({"outputs": tensor_answers.outputs(predictions, ANY)})
    read = json_format.Parse(answer, v1.DirectPredictResponse.pb(v1.DirectPredictResponse()))
    assert len(read.outputs) == 1


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2)))
def test_rows_of_numbers_survive_the_way_there_and_back(rows):
    [tensor] = tensor_answers.outputs(rows, ANY)
    back = read([json.loads(json.dumps(tensor))], MATRIX)
    assert back == (rows if rows else [])
    assert not any(math.isnan(value) for row in back for value in row)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
_FIELDS = msgspec.structs.fields(Tensor)
any_tensor = st.recursive(
    st.dictionaries(
        st.sampled_from([field.encode_name for field in _FIELDS]),
        st.lists(st.integers(-3, 2**70) | st.sampled_from(["1", "x", "NaN", "aGk="]), max_size=4) | anything,
        max_size=3,
    ),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"listVal": st.lists(inner, max_size=3), "structVal": st.dictionaries(st.text(), inner)}
    ),
)


@given(st.lists(any_tensor, max_size=3), st.sampled_from([ONE, TWO, MATRIX, IMAGE, ANY]))
def test_whatever_is_sent_is_read_or_refused(inputs, signature):
    with suppress(InvalidArgument):
        _read(_direct, body := json.dumps({"inputs": inputs}).encode())
        rows = tensors.rows(_direct(body).inputs, signature)
        assert isinstance(rows, list)
