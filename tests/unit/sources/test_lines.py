from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sources.reading import read, records_of, split
from trivet.sources import lines
from trivet.sources.csv_rows import RowEnds
from trivet.sources.lines import LineEnds, blocks
from trivet.storage.streams import Stream

TEXT = st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"a", b"1", b'""', b'",', b',"'])).map(b"".join)
SIZES = st.sampled_from([1, 2, 3, 5, 8, 13, 100])


@pytest.fixture(autouse=True)
def short_records(monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 30)


@settings(max_examples=150, deadline=None)
@given(TEXT, SIZES)
def test_lines_are_those_of_the_text_however_it_is_read(text, size):
    expected = [line for line in text.split(b"\n") if line]
    found = [(text.rstrip(b"\n"), problem) for text, problem in split(text, LineEnds(), size)]
    assert [line[:30] for line in expected] == [line[:30] for line, _ in found if line]
    for line, problem in found:
        assert bool(problem) == (len(line) > 30), line


@settings(max_examples=300, deadline=None)
@given(TEXT, SIZES)
def test_rows_are_those_of_the_definition_however_they_are_read(text, size):
    found = split(text, RowEnds(), size)
    records = records_of(text)
    assert len(found) == len(records)
    for (row, problem), record in zip(found, records, strict=True):
        if problem:
            assert record.startswith(row[:30])
            assert len(record) > 30
        else:
            assert row == record


def test_what_is_too_long_is_one_record_in_every_format(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 3 << 20)
    long = b"x" * (5 << 20)
    (tmp_path / "a.jsonl").write_bytes(b'"a"\n' + long + b'\n"b"\n' + long)
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,2\n1,"' + long + b'\n",2\n3,4\n"' + long)
    for name, count in (("jsonl", 4), ("csv", 4)):
        for shard_bytes in (1, 1 << 20, 100 << 20):
            found = read(name, tmp_path / f"a.{name}", shard_bytes=shard_bytes)
            assert list(found) == list(range(count))
            assert [index for index in found if "longer than 3 MiB" in str(found[index])] == [1, 3]


def test_memory_is_bounded_by_the_longest_record(monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 100_000)

    class Endless(BytesIO):
        def read(self, size=-1):
            assert size <= 1 << 20
            return b'"' * size

    stream = Stream(Endless(), "endless", 50 << 20)
    (only,) = blocks(stream, RowEnds())
    assert len(only.text) == lines.KEPT
    assert only.size == 50 << 20


def test_short_records_come_in_batches_that_are_not_too_large(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a\n" + b"1\n" * 50_000 + b'"x"\n' * 50_000)
    assert len(read("csv", tmp_path / "a.csv")) == 100_000
