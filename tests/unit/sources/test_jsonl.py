import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sources.reading import read
from trivet.core.errors import FailedPrecondition
from trivet.sources.base import Inputs
from trivet.sources.registry import get_source

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(VALUES), st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]), st.booleans(), st.booleans(),
    st.sampled_from([1, 10, 1 << 20]),
)  # fmt: skip
def test_what_the_standard_library_writes_is_read(tmp_path_factory, values, end, ascii_, last, shard_bytes):
    lines = [json.dumps(value, ensure_ascii=ascii_) for value in values]
    text = end.join(lines) + (end if last else "")
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read("jsonl", path, shard_bytes=shard_bytes)
    step = end.count("\n")
    assert list(found) == [step * index for index in range(len(values))]
    assert [json.loads(line) for line in found.values()] == values


def test_a_line_is_given_as_it_stands(tmp_path):
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a" : 1e2}  \r\nnot json\n\x00\n  7\n')
    found = read("jsonl", tmp_path / "a")
    assert list(found.values()) == [b'{"a" : 1e2}  ', b"not json", b"\x00", b"  7"]


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", "ü".encode()[:1]])
def test_a_line_that_is_not_utf8_costs_only_itself(tmp_path, bad):
    (tmp_path / "a").write_bytes(b'"\xc3\xbc"\n"' + bad + b'"\n\n3')
    found = read("jsonl", tmp_path / "a")
    assert found.pop(1).args == ("not UTF-8",)
    assert found == {0: '"ü"'.encode(), 3: b"3"}


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1\n" * (2 << 20))
    inputs = Inputs((str(path),))
    (shard,) = get_source("jsonl").plan(Inputs((str(path),), shard_bytes=1 << 30))
    batches = get_source("jsonl").read(shard, inputs)
    next(batches)
    path.write_bytes(b"2\n" * 10)
    with pytest.raises(FailedPrecondition, match=r"has (become shorter|changed)"):
        list(batches)
    path.write_bytes(b"1\n" * (2 << 20))
    with pytest.raises(FailedPrecondition, match="has changed since the job was planned"):
        next(get_source("jsonl").read(shard, inputs))
    path.unlink()
    with pytest.raises(Exception, match="there is no such file"):
        next(get_source("jsonl").read(shard, inputs))
