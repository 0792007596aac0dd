import gzip
import io
import sys
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.core.errors import FailedPrecondition
from trivet.storage.streams import Corrupt, Inflating, Stream, compression

PACK = {"gzip": gzip.compress, "zstd": zstandard.compress}
KINDS = st.sampled_from(["gzip", "zstd"])


def opened(content, kind):
    return Inflating(io.BytesIO(content), "file", len(content), kind)


def whole(stream, size):
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    assert all(len(part) == size for part in parts[:-1])
    return b"".join(parts)


@settings(max_examples=100, deadline=None)
@given(
    KINDS,
    st.lists(st.binary(max_size=300), max_size=4),
    st.integers(1, 100),
    st.sampled_from([b"", b"\0" * 9]),
)
def test_members_one_after_the_other_are_one_content(kind, parts, size, padding):
    content = b"".join(map(PACK[kind], parts)) + (padding if parts else b"")
    stream = opened(content, kind)
    assert whole(stream, size) == b"".join(parts)
    assert stream.taken == len(content)


@pytest.mark.parametrize("kind", PACK)
def test_large_content_comes_whole_in_bounded_memory(kind):
    content = bytes(50 << 20) + b"end"
    stream = opened(PACK[kind](content), kind)
    found = size = 0
    while part := stream.read(100_000):
        size += len(part)
        found = part
        assert len(stream._ready) < 100 << 20
    assert size == len(content)
    assert found.endswith(b"end")


@pytest.mark.parametrize("kind", PACK)
def test_what_comes_before_the_damage_is_read(kind):
    content = b"".join(b"%d\n" % index for index in range(200_000))
    packed = PACK[kind](content)
    for cut in (len(packed) // 2, len(packed) - 1, len(packed) - 5):
        stream = opened(packed[:cut], kind)
        read = stream.read(len(content))
        with pytest.raises(Corrupt, match=f"the {kind} file ends early"):
            stream.read(1)
        assert content.startswith(read)
        assert len(read) > len(content) // 4
        assert stream.taken == cut


def test_a_wrong_checksum_is_told_at_the_end():
    packed = bytearray(gzip.compress(b"content"))
    packed[-8] ^= 1
    stream = opened(bytes(packed), "gzip")
    with pytest.raises(Corrupt, match=r"is damaged: .*incorrect data check"):
        whole(stream, 100)


def test_what_is_not_compressed_after_a_member_is_damage():
    stream = opened(gzip.compress(b"content") + b"garbage", "gzip")
    assert stream.read(100) == b"content"
    with pytest.raises(Corrupt, match="is damaged"):
        stream.read(100)


@settings(max_examples=200, deadline=None)
@given(KINDS, st.binary(max_size=200), st.data())
def test_any_damage_is_content_or_corrupt(kind, content, data):
    packed = bytearray(PACK[kind](content))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    stream = opened(bytes(packed), kind)
    try:
        whole(stream, 64)
    except Corrupt:
        with pytest.raises(Corrupt):
            stream.read(1)
    assert stream.taken == len(packed)


def test_how_a_file_is_compressed_is_seen_in_it_or_said_by_its_name():
    assert compression("a.jsonl", gzip.compress(b"x")[:4]) == "gzip"
    assert compression("a.gz", zstandard.compress(b"x")[:4]) == "zstd"
    assert compression("a.csv.GZ", b"text") == "gzip"
    assert compression("a.gz", b"") == ""
    assert compression("a.jsonl", b"text") == ""


def test_a_prefix_is_skipped_only_if_it_is_there():
    stream = Stream(io.BytesIO(b"abcdef"), "file", 6)
    assert not stream.skip(b"xyz")
    assert (stream.read(2), stream.read(10)) == (b"ab", b"cdef")
    stream = Stream(io.BytesIO(b"abcdef"), "file", 6)
    assert stream.skip(b"abc")
    assert stream.read(10) == b"def"
    stream = opened(gzip.compress(b"abcdef")[:-1], "gzip")
    assert not stream.skip(b"xyz")
    assert stream.read(10) == b"abcdef"
    with pytest.raises(Corrupt):
        stream.read(10)


def test_a_file_that_has_become_shorter_is_refused():
    with pytest.raises(FailedPrecondition, match="has become shorter"):
        Stream(io.BytesIO(b"abc"), "file", 6).read(6)


def test_a_store_that_fails_is_named():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise zlib.error("reset by peer")

    with pytest.raises(FailedPrecondition, match="gs://b/x: cannot be read: reset by peer"):
        Stream(Failing(), "gs://b/x", 6).read(6)


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[batch\]'"):
        opened(b"x", "zstd")
