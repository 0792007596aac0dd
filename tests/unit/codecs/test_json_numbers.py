import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.codecs import json_body, json_numbers
from trivet.codecs.json_body import BodyDecoder, BodyLimits
from trivet.codecs.json_numbers import UNREADABLE, number_reader
from trivet.core.errors import InvalidArgument
from trivet.core.instances import Layout
from trivet.core.signature import Signature, TensorSpec, numpy_dtype

pytest.importorskip("simdjson")

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(2**65), 2**65),
    st.sampled_from([-0.0, 5e-324, 3.4028235e38, 3.4028236e38, 2**53 + 1, 1e-46]),
)
spelled = st.one_of(
    numbers.map(json.dumps),
    st.decimals(-(10**40), 10**40, allow_nan=False).map(lambda value: format(value, "f")),
    st.sampled_from(["-0", "1E5", "-0.0e-3", "123456789012345678901234567890", "0.1e400", "true", "null"]),
)
odd = st.sampled_from(["[]", "[1]", "[[1], 2]", "{}", '"1"', "[1, 2, 3]", "[1, []]", "5"])
rows = st.lists(spelled, min_size=2, max_size=2).map(lambda row: f"[{','.join(row)}]")


def reader(dtype="float32", most=9):
    return number_reader(Layout("x", numpy_dtype(dtype), 2), most)


def decoder(dtype):
    return BodyDecoder(Signature((TensorSpec("x", dtype, (2,)),), ()), BodyLimits(max_instances=9)).decode


def outcome(decode, body):
    try:
        instances, parameters, _ = decode(body)
    except InvalidArgument as error:
        return str(error)
    return instances.columns["x"].tobytes(), instances.columns["x"].shape, parameters


@given(
    st.lists(st.one_of(rows, rows, rows, odd), max_size=10),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(["", ', "parameters": {"a": 1}', ', "instances": [[1, 2]]', "]", " "]),
)
def test_what_it_takes_reads_as_in_the_other_ways_to_the_bit(found, dtype, more):
    body = f'{{"instances": [{", ".join(found)}]{more}}}'.encode()
    expected = outcome(decoder(dtype), body)
    try:
        instances = reader(dtype)(body)
    except UNREADABLE:
        return
    column = instances.columns["x"]
    assert column.flags.writeable
    assert (column.tobytes(), column.shape, None) == expected


def test_ordinary_bodies_are_taken():
    body = b'{"instances":[[1,2.5],[3e2,-4]]}'
    for dtype in ("float32", "float64"):
        column = reader(dtype)(body).columns["x"]
        assert column.dtype == dtype
        assert column.tolist() == [[1, 2.5], [300, -4]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"instances":[[1,2],[3]]}',
        b'{"instances":[[1,2],[3,[4]]]}',
        b'{"instances":[[1],[2,3,4]]}',
        b'{"instances":[[[1],2],[[],3]]}',
        b'{"instances":[[1,true]]}',
        b'{"instances":[[1,1e39]]}',
        b'{"instances":[]}',
        b'{"instances":[[1,2]],"parameters":{}}',
        b'{"instances":[[1,2]]} {}',
        b'{"instances":[' + b"[1,2]," * 9 + b"[1,2]]}",
        b'{"instance":[[1,2]]}',
        b'{"instances":[[1,2' + b" " * (1 << 20) + b"]]}",
    ],
)
def test_all_else_is_refused(body):
    with pytest.raises(UNREADABLE):
        reader()(body)


def test_bodies_go_the_other_ways_where_it_refuses(monkeypatch):
    read = []
    monkeypatch.setattr(json_body, "number_reader", lambda *_: lambda body: read.append(body) or {}["x"])
    wide = Signature((TensorSpec("x", "float32", (300,)),), ())
    decode = BodyDecoder(wide, BodyLimits()).decode
    for instance in ([1.5] * 300, [2] * 300):
        body = json.dumps({"instances": [instance, instance, instance]}).encode()
        instances, _, _ = decode(body)
        assert instances.columns["x"].tolist() == [instance] * 3
        assert read.pop() == body
    assert decode(json.dumps({"instances": [[1.5] * 300], "parameters": {"a": 1}}).encode())[1] == {"a": 1}
    assert not read  # that one is short


def test_a_parser_that_another_thread_uses_is_left_alone():
    read = reader()
    held = json_numbers.simd_parser("bodies").parse(b"[1]")
    with pytest.raises(UNREADABLE):
        read(b'{"instances":[[1,2]]}')
    del held
    assert read(b'{"instances":[[1,2]]}').count == 1
    kept = read(b'{"instances":[[3,4]]}').columns["x"]
    read(b'{"instances":[[5,6]]}')
    assert np.array_equal(kept, [[3, 4]])


def test_nothing_is_read_so_where_the_parser_is_not_installed_or_numbers_are_whole(monkeypatch):
    assert reader("int64") is None
    json_numbers.simd_parser.cache_clear()
    monkeypatch.setitem(sys.modules, "simdjson", None)
    assert reader() is None
    json_numbers.simd_parser.cache_clear()
