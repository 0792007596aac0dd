import gzip
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sources.reading import read
from trivet.sources import crc32c, lines
from trivet.sources.base import Inputs
from trivet.sources.registry import get_source


def record(blob, *, length=None, damage=b""):
    head = struct.pack("<Q", len(blob) if length is None else length)
    body = damage or blob
    return head + struct.pack("<I", crc32c.masked(head)) + body + struct.pack("<I", crc32c.masked(blob))


@given(st.binary(max_size=100))
def test_the_checksum_is_that_of_the_library_with_and_without_it(content):
    import google_crc32c

    assert crc32c.by_table(content) == google_crc32c.value(content)


def test_the_checksum_is_the_documented_one():
    assert crc32c.by_table(b"123456789") == 0xE3069283


def test_without_the_library_records_are_the_same(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(record(b"one") + record(b"two"))
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    crc32c._function.cache_clear()
    try:
        assert read("tf-record", tmp_path / "a") == {0: b"one", 1: b"two"}
    finally:
        crc32c._function.cache_clear()


def test_a_damaged_record_costs_only_itself(tmp_path):
    (tmp_path / "a").write_bytes(record(b"one") + record(b"two", damage=b"owt") + record(b"three"))
    found = read("tf-record", tmp_path / "a")
    assert found[0] == b"one"
    assert found[1].args == ("its checksum is wrong: it is damaged",)
    assert found[2] == b"three"


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (record(b"two")[:-1], "the file ends within a record"),
        (record(b"two")[:5], "the file ends within a record"),
        (record(b"two", length=1 << 40), "the file ends within a record"),
        (b"x" + record(b"two") + record(b"three"), "the length of a record is damaged"),
    ],
)
def test_where_records_begin_is_lost_the_rest_is_one_error(tmp_path, rest, message):
    (tmp_path / "a").write_bytes(record(b"one") + rest)
    for shard_bytes in (1, 1 << 20):
        found = read("tf-record", tmp_path / "a", shard_bytes=shard_bytes)
        assert found[0] == b"one"
        assert list(found) == [0, 1]
        assert message in str(found[1])


def test_a_record_that_is_too_large_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("trivet.sources.tf_record.LONGEST", 1 << 20)
    (tmp_path / "a").write_bytes(record(b"one") + record(b"x" * (3 << 20)) + record(b"three"))
    found = read("tf-record", tmp_path / "a")
    assert found == {0: b"one", 1: found[1], 2: b"three"}
    assert "longer than 1 MiB" in str(found[1])


def test_a_record_whose_length_looks_like_gzip_is_one(tmp_path):
    blob = b"x" * 0x8B1F
    (tmp_path / "a").write_bytes(record(blob))
    assert read("tf-record", tmp_path / "a") == {0: blob}
    (tmp_path / "b").write_bytes(gzip.compress(record(b"x")))
    assert read("tf-record", tmp_path / "b") == {0: b"x"}


def test_large_files_are_cut_between_records_and_read_in_bounded_batches(tmp_path):
    blobs = [bytes([index % 256]) * (index % 3000) for index in range(3000)]
    (tmp_path / "a").write_bytes(b"".join(map(record, blobs)))
    inputs = Inputs((str(tmp_path / "a"),), shard_bytes=1 << 20)
    shards = list(get_source("tf-record").plan(inputs))
    assert len(shards) == 5
    batches = [batch for shard in shards for batch in get_source("tf-record").read(shard, inputs)]
    assert [blob for batch in batches for blob in batch.blobs] == blobs
    assert max(sum(map(len, batch.blobs)) for batch in batches) < lines.BLOCK + 3000
    assert [batch.labels for batch in batches] == [None] * len(batches)
