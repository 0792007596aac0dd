import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trivet.codecs.json_body import encode_predictions
from trivet.codecs.tensors import UNSENDABLE, Tensor, encode_into, pack, read_extension, unpack
from trivet.core.errors import Internal
from trivet.core.instances import Instances, Predictions, object_column
from trivet.core.signature import NUMBERS, numpy_dtype

decode = msgspec.msgpack.Decoder(list[Tensor], ext_hook=read_extension).decode
DTYPES = sorted(NUMBERS | {"bool"})

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**90), 2**90), st.floats(allow_nan=False), st.text(), st.binary()
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def over_the_wire(rows, *, owned=True):
    buffer = bytearray(3)
    encode_into(pack(rows), buffer, 3)
    return unpack(decode(memoryview(buffer)[3:]), type(rows), rows.count, owned=owned)


@given(st.data(), st.sampled_from(DTYPES), st.booleans())
def test_columns_of_every_dtype_and_shape_travel(data, dtype, owned):
    shape = data.draw(npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    column = data.draw(npst.arrays(numpy_dtype(dtype), shape))
    arrived = over_the_wire(Instances.of({"x": column}), owned=owned).columns["x"]
    assert arrived.dtype == column.dtype
    assert arrived.shape == column.shape
    assert arrived.tobytes() == column.tobytes()
    if owned:
        assert arrived.flags.writeable
        assert arrived.flags.aligned


@pytest.mark.parametrize("size", [3, 300])  # sent as a copy, and as a view
@pytest.mark.parametrize(
    "view", [lambda x: x[::2], lambda x: x[:, 1:], lambda x: x.T, lambda x: x[::-1], np.asfortranarray]
)
def test_views_travel_whatever_their_strides(view, size):
    column = view(np.arange(size * size, dtype="float32").reshape(size, size))
    arrived = over_the_wire(Instances.of({"x": column})).columns["x"]
    np.testing.assert_array_equal(arrived, column)


@given(st.lists(values, max_size=5), st.lists(values, min_size=4, max_size=4))
def test_objects_travel(flat, four):
    rows = Instances({"any": object_column(flat)}, len(flat))
    assert over_the_wire(rows).columns["any"].tolist() == flat
    pairs = Instances.of({"pairs": object_column(four).reshape(2, 2)})
    arrived = over_the_wire(pairs).columns["pairs"]
    assert arrived.shape == (2, 2)
    assert arrived.ravel().tolist() == four


def test_columns_keep_their_names_and_order():
    columns = {"b": np.zeros(2), "a": object_column(["x", None]), "é": np.array(["long", "s"])}
    arrived = over_the_wire(Predictions.of(columns))
    assert isinstance(arrived, Predictions)
    assert list(arrived.columns) == ["b", "a", "é"]
    assert arrived.columns["é"].tolist() == ["long", "s"]


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**300])
def test_integers_beyond_64_bits_travel_however_deep(number):
    value = {"in": [number, {"deep": (number, 1, True)}]}
    arrived = over_the_wire(Instances.of({"x": object_column([value])})).columns["x"][0]
    assert arrived == {"in": [number, {"deep": [number, 1, True]}]}
    assert arrived["in"][1]["deep"][2] is True


@pytest.mark.parametrize(
    "value",
    [
        1.5, "text", b"raw", bytearray(b"raw"), {"b": b"raw"}, (1, 2), {1: 2}, {1.5: 2}, {2**70: 1}, math.nan,
        np.datetime64("2024-01-01"), np.int64(3), np.float64(3), np.zeros(2), {None: 1}, {(1, 2): 3},
        object(), 1 + 2j, "\ud800", 10**5000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_prediction_reads_the_same_after_the_hop_or_is_refused_before_it(value):
    def written(rows):
        try:
            return encode_predictions(rows)
        except Internal as error:
            return str(error)

    rows = Predictions.of({"y": object_column([value])})
    try:
        arrived = over_the_wire(rows)
    except UNSENDABLE:
        assert "cannot be written as JSON" in written(rows)
    else:
        assert written(arrived) == written(rows)


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a", "bc"]), np.array([b"a", b"bc"]), np.array([1 + 2j, 0]),
        np.array(["2024-01-01", "NaT"], "datetime64[s]"), np.array([1, 2], ">i4"),
        np.array([(1, 2.0), (3, 4.0)], "i4,f8"),
    ],
)  # fmt: skip
def test_whatever_else_numpy_has_arrives_with_equal_values(column):
    arrived = over_the_wire(Predictions.of({"y": column})).columns["y"]
    structured = column.dtype.names is not None  # whose rows are tuples, which JSON does not have
    assert arrived.tolist() == ([list(row) for row in column.tolist()] if structured else column.tolist())


@pytest.mark.parametrize(
    ("dtype", "shape", "content", "reason"),
    [
        ("<f4", (1, 2), b"1234", "x: buffer is too small"),
        ("<f4", (1,), b"12345678", "8 bytes for shape"),
        ("<f4", (), b"1234", "expected 1 rows"),
        ("<f4", (3,), b"123412341234", "expected 1 rows"),
        ("<f4", (1, 2**40, 2**40), b"", "too big"),
        ("|O", (1,), b"12345678", "bytes for a column of"),
        ("i4,O", (1,), b"123456789012", "bytes for a column of"),
        ("nonsense", (1,), b"1234", "bytes for a column of"),
        ("<f3", (1,), b"123", "not understood"),
        ("<f4", (1,), [1.0], "values for a column of <f4"),
        ("|O", (1, 2), [1.0], "x: 1 values for shape"),
        ("|O", (1,), [1, 2], "x: 2 values for shape"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(dtype, shape, content, reason):
    tensor = ("x", dtype, shape, content if isinstance(content, list) else memoryview(content))
    with pytest.raises(ValueError, match=reason):
        unpack([tensor], Instances, 1, owned=True)


def test_an_unknown_extension_is_refused():
    with pytest.raises(ValueError, match="unknown extension 9"):
        read_extension(9, memoryview(b"1"))
