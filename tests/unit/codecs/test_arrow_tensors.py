import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.codecs.arrow_tensors import ArrowDecoder, row_texts
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import InvalidArgument
from trivet.core.signature import FLOATS, INTEGERS, Signature, TensorSpec

FLOATS_ = ("float16", "float32", "float64")
INTS = ("int8", "int32", "int64", "uint8", "uint64")


def arrow_type(spec):
    """Return the type of the column, as SQL gives it."""
    kinds = {"bool": pa.bool_(), "string": pa.string(), "bytes": pa.binary()}
    one = kinds.get(spec.dtype, pa.float64() if spec.dtype in FLOATS else pa.int64())
    if spec.dtype in ("category", "json"):
        return pa.string()
    return pa.list_(one) if spec.shape else one


values_of = {
    "bool": st.booleans(),
    "string": st.text(max_size=4),
    "category": st.one_of(st.text(max_size=3), st.integers(-5, 5)),
}


def value(spec):
    if spec.dtype in FLOATS:
        one = st.floats(allow_nan=False, allow_infinity=False)
    elif spec.dtype in INTEGERS:
        one = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 100))
    else:
        one = values_of[spec.dtype]
    if spec.shape:
        one = st.lists(st.one_of(one, one, one, st.none()), min_size=3, max_size=4)
    return st.one_of(one, one, one, one, st.none())


@st.composite
def signatures(draw):
    dtypes = st.sampled_from([*FLOATS_, *INTS, "bool", "string", "category"])
    if draw(st.booleans()):
        dtype = draw(st.sampled_from([*FLOATS_, *INTS]))
        nullable = dtype in FLOATS and draw(st.booleans())
        return Signature((TensorSpec("features", dtype, (2,), ("a", "b"), nullable),))
    specs = []
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        dtype = draw(dtypes)
        nullable = draw(st.booleans()) and (dtype in FLOATS or dtype in ("string", "category"))
        shape = draw(st.sampled_from([(), (), (3,)])) if dtype != "category" else ()
        specs.append(TensorSpec(name, dtype, shape, nullable=nullable))
    return Signature(tuple(specs))


def arrow(spec, values):
    if spec.dtype == "category":
        import msgspec

        values = [None if one is None else msgspec.json.encode(one).decode() for one in values]
    return pa.array(values, arrow_type(spec))


@given(st.data())
def test_instances_are_those_of_the_same_values_as_json(data):
    signature = data.draw(signatures())
    count = data.draw(st.integers(1, 5))
    specs = list(signature.values())
    columns = [data.draw(st.lists(value(spec), min_size=count, max_size=count)) for _, spec in specs]
    arrays = [arrow(spec, column) for (_, spec), column in zip(specs, columns, strict=True)]
    decoded = ArrowDecoder(signature, signature.names).decode(arrays)

    online = RowDecoder(signature)
    rows = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
    expected = {}
    for index, row in enumerate(rows):
        try:
            expected[index] = online.decode([row])
        except InvalidArgument:
            expected[index] = None
    found = {}
    for numbers, instances in decoded.parts:
        listed = list(range(count)) if numbers is None else numbers.tolist()
        assert len(listed) == instances.count
        found |= {row: instances.slice(at, at + 1) for at, row in enumerate(listed)}
    assert sorted([*found, *decoded.refused]) == list(range(count))
    for index, one in expected.items():
        assert (one is None) == (index in decoded.refused), rows[index]
        if one is None:
            continue
        for name, column in one.columns.items():
            actual = found[index].columns[name]
            assert actual.dtype == column.dtype
            assert np.array_equal(actual, column, equal_nan=column.dtype.kind == "f"), rows[index]
            assert list(map(type, actual.reshape(-1).tolist())) == list(
                map(type, column.reshape(-1).tolist())
            )


def decoder(*specs):
    signature = Signature(specs)
    return ArrowDecoder(signature, signature.names)


def test_a_refused_row_is_named_with_what_it_holds():
    one = decoder(TensorSpec("age", "int64"), TensorSpec("plan", "string"))
    decoded = one.decode([pa.array([1, None, 3]), pa.array(["a", "b", None])])
    assert {row: str(error) for row, error in decoded.refused.items()} == {
        1: "age: expected int64; got NULL (in the row age = NULL, plan = 'b')",
        2: "plan: expected string; got NULL (in the row age = 3, plan = NULL)",
    }
    ((rows, instances),) = decoded.parts
    assert rows.tolist() == [0]
    assert instances.columns["plan"].tolist() == ["a"]


def test_an_integer_next_to_a_null_stays_exact():
    decoded = decoder(TensorSpec("n", "int64")).decode([pa.array([2**62 + 1, None, -(2**63)])])
    ((_, instances),) = decoded.parts
    assert instances.columns["n"].tolist() == [2**62 + 1, -(2**63)]


def test_nan_and_infinities_are_floats():
    decoded = decoder(TensorSpec("x", "float32")).decode([pa.array([np.nan, np.inf, -np.inf, 1e300])])
    ((_, instances),) = decoded.parts
    assert np.array_equal(instances.columns["x"], [np.nan, np.inf, -np.inf], equal_nan=True)
    assert list(decoded.refused) == [3]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 2, 3]),
        pa.array([1.0, 2.0, 3.0]),
        pa.array([1, 2, 3], pa.decimal128(38, 9)),
        pa.array([1, 2, 3], pa.int8()),
    ],
)
def test_numbers_of_any_type_are_floats(array):
    ((_, instances),) = decoder(TensorSpec("x", "float32")).decode([array]).parts
    assert instances.columns["x"].dtype == np.float32
    assert instances.columns["x"].tolist() == [1.0, 2.0, 3.0]


def test_columns_fill_a_matrix_that_has_no_names():
    signature = Signature((TensorSpec("X", "float32", (3,), nullable=True),))
    one = ArrowDecoder(signature, ("a", "b", "c"))
    ((_, instances),) = one.decode([pa.array([1.0, None]), pa.array([2.0, 5.0]), pa.array([3.0, 6.0])]).parts
    matrix = instances.columns["X"]
    assert matrix.flags.c_contiguous
    assert np.array_equal(matrix, [[1, 2, 3], [np.nan, 5, 6]], equal_nan=True)


def test_one_value_may_be_an_array_of_one_or_bare():
    one = decoder(TensorSpec("x", "float32", (1,)))
    for array in (pa.array([1.0, 2.0]), pa.array([[1.0], [2.0]])):
        ((_, instances),) = one.decode([array]).parts
        assert instances.columns["x"].tolist() == [[1.0], [2.0]]


def test_arrays_take_the_shape_of_the_input():
    one = decoder(TensorSpec("image", "uint8", (2, 2, 1)))
    decoded = one.decode([pa.array([[1, 2, 3, 4], [1, 2], None, [1, None, 3, 4], [5, 6, 7, 8]])])
    ((rows, instances),) = decoded.parts
    assert rows.tolist() == [0, 4]
    assert instances.columns["image"].tolist() == [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]]
    assert str(decoded.refused[1]).startswith("image: expected uint8[2,2,1]; got an array of 2 values")


def test_rows_of_one_shape_are_predicted_together():
    one = decoder(TensorSpec("x", "float32", (None, 2)), TensorSpec("y", "string", (None,)))
    arrays = [
        pa.array([[1, 2], [1, 2, 3, 4], [3, 4], [], [1]], pa.list_(pa.float64())),
        pa.array([["a"], ["b"], ["c"], [], ["d"]], pa.list_(pa.string())),
    ]
    decoded = one.decode(arrays)
    parts = {tuple(rows.tolist()): instances.columns for rows, instances in decoded.parts}
    assert {rows: columns["x"].shape for rows, columns in parts.items()} == {
        (0, 2): (2, 1, 2), (1,): (1, 2, 2), (3,): (1, 0, 2),
    }  # fmt: skip
    assert parts[0, 2]["y"].tolist() == [["a"], ["c"]]
    assert list(decoded.refused) == [4]


def test_any_json_is_an_object_of_the_columns():
    signature = Signature((TensorSpec("instance", "json", nullable=True),))
    one = ArrowDecoder(signature, ("a", "b%", "c"), json=("c",))
    arrays = [pa.array([1, None]), pa.array([b"\x00", b"x"]), pa.array(['{"d": [1]}', None])]
    ((_, instances),) = one.decode(arrays).parts
    assert instances.columns["instance"].tolist() == [
        {"a": 1, "b%": {"b64": "AA=="}, "c": {"d": [1]}},
        {"a": None, "b%": {"b64": "eA=="}, "c": None},
    ]


def test_a_whole_row_is_an_object():
    signature = Signature((TensorSpec("instance", "json", nullable=True),))
    rows = pa.array([{"a": 1, "j": "[1]", "s": "[1]"}])
    ((_, instances),) = ArrowDecoder(signature, ()).decode([rows, pa.array(['["j"]'])]).parts
    assert instances.columns["instance"].tolist() == [{"a": 1, "j": [1], "s": "[1]"}]


def test_texts_of_rows_are_json():
    assert row_texts(["a", 'b"'], [pa.array([1.0, float("nan")]), pa.array(["x", None])]) == [
        b'{"a":1.0,"b\\"":"x"}',
        b'{"a":null,"b\\"":null}',
    ]
    chunked = pa.chunked_array([pa.array([1]), pa.array([2])])
    assert row_texts(["a", "b"], [chunked, chunked], as_array=True) == [b"[1,1]", b"[2,2]"]


def test_no_rows_are_no_instances():
    one = decoder(TensorSpec("x", "float32"), TensorSpec("y", "int64", (2,)))
    decoded = one.decode([pa.array([], pa.float64()), pa.array([], pa.list_(pa.int64()))])
    assert decoded.count == 0
    assert not decoded.refused
