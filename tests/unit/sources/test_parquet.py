"""Parquet files as a source: shards of row groups, cells of every type, files that are damaged."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivet.core.errors import FailedPrecondition, NotFound, ServingError
from trivet.sources.base import Inputs, Table
from trivet.sources.parquet import SOURCE


def written(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return Inputs((str(path),))


def read(inputs):
    """Return the rows by offset, and those that cannot be read."""
    rows, lost = {}, {}
    for shard in SOURCE.plan(inputs):
        size = 0
        for records in SOURCE.read(shard, inputs):
            size += records.size
            lost |= {(shard.uri, one.offset): one for one in records.unreadable}
            if isinstance(records, Table):
                assert all(len(cells) == len(records.offsets) for cells in records.cells)
                for offset, *cells in zip(records.offsets, *records.cells, strict=True):
                    assert (shard.uri, offset) not in rows
                    rows[shard.uri, offset] = dict(
                        zip(records.names, [json.loads(cell) for cell in cells], strict=True)
                    )
        assert size == shard.size
    return rows, lost


def test_row_groups_are_joined_into_shards_of_about_so_many_rows(tmp_path):
    inputs = written(tmp_path / "a.parquet", {"x": list(range(100))}, row_group_size=10)
    shards = list(SOURCE.plan(replace(inputs, shard_rows=35)))
    assert [(one.index, one.start, one.stop, one.first, one.size) for one in shards] == [
        (0, 0, 30, 0, 30),
        (1, 30, 60, 30, 30),
        (2, 60, 90, 60, 30),
        (3, 90, 100, 90, 10),
    ]
    assert json.loads(json.dumps([dict(one.details) for one in shards]))
    rows, lost = read(replace(inputs, shard_rows=35))
    assert [row["x"] for row in rows.values()] == list(range(100))
    assert not lost


def test_a_row_group_is_not_cut_and_several_files_are_counted_on(tmp_path):
    written(tmp_path / "b.parquet", {"x": list(range(50))})
    written(tmp_path / "a.parquet", {"x": [1]})
    inputs = Inputs((str(tmp_path / "*.parquet"),), shard_rows=10)
    shards = list(SOURCE.plan(inputs))
    assert [(one.index, one.uri[-9:], one.first, one.size) for one in shards] == [
        (0, "a.parquet", 0, 1),
        (1, "b.parquet", 0, 50),
    ]


def test_reading_again_gives_the_same_batches(tmp_path):
    inputs = written(tmp_path / "a.parquet", {"x": np.arange(50_000.0)}, row_group_size=20_000)
    (shard,) = SOURCE.plan(inputs)
    sizes = [[one.size for one in SOURCE.read(shard, inputs)] for _ in range(2)]
    assert sizes[0] == sizes[1]
    assert max(sizes[0]) <= 8192


def test_a_file_without_rows_is_a_shard_without_records(tmp_path):
    inputs = written(tmp_path / "a.parquet", {"x": pa.array([], pa.int64())})
    assert [one.size for one in SOURCE.plan(inputs)] == [0]
    assert read(inputs) == ({}, {})


TYPES = [
    (pa.array([1, None, -(2**63)]), [1, None, -(2**63)]),
    (pa.array([2**64 - 1, 0, 1], pa.uint64()), [2**64 - 1, 0, 1]),
    (pa.array([0.1, float("nan"), float("-inf")]), [0.1, None, None]),
    (pa.array([True, None, False]), [True, None, False]),
    (pa.array(["a", None, 'é"\n']), ["a", None, 'é"\n']),
    (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    (pa.array([b"hi", None, b"\xff"]), [{"b64": "aGk="}, None, {"b64": "/w=="}]),
    (pa.array([Decimal("1.10"), Decimal("2.00"), None]), [1.1, 2.0, None]),
    (pa.array([dt.date(2018, 12, 31), None, None]), ["2018-12-31", None, None]),
    (pa.array([dt.time(23, 59, 59, 999999), dt.time(1), None]), ["23:59:59.999999", "01:00:00", None]),
    (
        pa.array([dt.datetime(2019, 1, 1), dt.datetime(2019, 1, 1, 0, 0, 0, 5000), None]),
        ["2019-01-01T00:00:00", "2019-01-01T00:00:00.005000", None],
    ),
    (
        pa.array([1_546_387_199_999_999, 0, None], pa.timestamp("us", "UTC")),
        ["2019-01-01 23:59:59.999999+00:00", "1970-01-01 00:00:00+00:00", None],
    ),
    (pa.array([1, 1000, None], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001",
                                                     "1970-01-01T00:00:00.000001", None]),
    (pa.array([[1.5], [], None]), [[1.5], [], None]),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), [[1, 2], None, [3, 4]]),
    (pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
     [{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
    (pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, {}, None]),
    (pa.nulls(3), [None] * 3),
]  # fmt: skip


@pytest.mark.parametrize(("array", "expected"), TYPES, ids=[str(array.type) for array, _ in TYPES])
def test_cells_of_a_type_are_json(tmp_path, array, expected):
    rows, lost = read(written(tmp_path / "a.parquet", {"c": array}))
    assert [row["c"] for row in rows.values()] == expected
    assert not lost


def test_numbers_are_there_where_all_columns_are_numbers_that_a_float_holds(tmp_path):
    def numbers(columns):
        inputs = written(tmp_path / "a.parquet", columns)
        (shard,) = SOURCE.plan(inputs)
        (records,) = SOURCE.read(shard, inputs)
        return records.numbers

    assert numbers({"a": [1, 2], "b": [0.5, 1.5]}).tolist() == [[1.0, 0.5], [2.0, 1.5]]
    for other in ([2**53 + 1, 1], [1, None], [1.0, float("nan")], ["1", "2"], [True, False]):
        assert numbers({"a": [1, 2], "b": other}) is None


def test_text_that_is_not_utf8_costs_only_its_row(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff!", b"c"]).buffers())
    rows, lost = read(written(tmp_path / "a.parquet", {"n": [1, 2, 3], "s": bad}))
    assert {offset: row for (_, offset), row in rows.items()} == {
        0: {"n": 1, "s": "a"},
        2: {"n": 3, "s": "c"},
    }
    ((_, offset),) = lost
    assert offset == 1
    (one,) = lost.values()
    assert json.loads(one.text) == {"n": 2, "s": "\\xff!"}
    assert "UTF" in one.message.upper()


def test_a_damaged_page_costs_the_rest_of_its_row_group(tmp_path):
    path = tmp_path / "a.parquet"
    inputs = written(
        path, {"x": np.arange(300)}, row_group_size=100, compression="zstd", use_dictionary=False
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xa5" * column.total_compressed_size
    path.write_bytes(content)
    rows, lost = read(inputs)
    assert sorted(offset for _, offset in rows) == [*range(100), *range(200, 300)]
    assert sorted(offset for _, offset in lost) == list(range(100, 200))
    assert all("row group 1 cannot be read from row 100 on: " in one.message for one in lost.values())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n" * 9, b"PAR1" + b"\0" * 64 + b"PAR1"])
def test_what_is_no_parquet_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(FailedPrecondition, match=r"a.parquet: not a Parquet file"):
        list(SOURCE.plan(Inputs((str(tmp_path / "a.parquet"),))))


def test_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([[1], [2]], names=["x", "x"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FailedPrecondition, match=r"same name: x;"):
        list(SOURCE.plan(Inputs((str(tmp_path / "a.parquet"),))))


def test_a_file_that_has_changed_is_refused(tmp_path):
    inputs = written(tmp_path / "a.parquet", {"x": [1]})
    (shard,) = SOURCE.plan(inputs)
    written(tmp_path / "a.parquet", {"x": [1, 2, 3]})
    with pytest.raises(FailedPrecondition, match="changed"):
        list(SOURCE.read(shard, inputs))


def test_no_file_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        list(SOURCE.plan(Inputs((str(tmp_path / "*.parquet"),))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_lose_no_row_and_end_well(tmp_path, data):
    path = tmp_path / "a.parquet"
    columns = {"n": np.arange(64), "s": [f"text {number}" for number in range(64)], "l": [[1, 2]] * 64}
    written(path, columns, row_group_size=16)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) - 5]))])
    inputs = Inputs((str(path),))
    try:
        size = sum(shard.size for shard in SOURCE.plan(inputs))
        if size < 100_000:
            rows, lost = read(inputs)
            assert len(rows) + len(lost) == size
    except ServingError:
        pass
