"""Every source of tables keeps what `trivet.testing.sources.check_source` asks."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.bigquery import emulated
from trivet.sources.base import Inputs
from trivet.storage import bigquery
from trivet.testing.sources import check_source

ROWS = [
    {"id": 1, "text": "a, b", "x": 0.5, "many": [1, 2]},
    {"id": 2**60, "text": None, "x": -1e-7, "many": []},
    {"id": 3, "text": "größe\n", "x": 2.0, "many": [3]},
] * 5
NUMBERS = [{"a": float(number), "b": number / 7} for number in range(23)]


@pytest.mark.parametrize("rows", [ROWS, NUMBERS, []], ids=["rows", "numbers", "none"])
def test_parquet(tmp_path, rows):
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(rows) if rows else pa.table({"a": pa.array([], pa.int64())})
    pq.write_table(table, path, row_group_size=2)
    check_source(
        "parquet",
        Inputs((str(path),)),
        rows,
        missing=str(tmp_path / "none.parquet"),
        change=lambda: path.write_bytes(path.read_bytes() + b"\n"),
    )


@pytest.mark.parametrize("rows", [ROWS, NUMBERS, []], ids=["rows", "numbers", "none"])
def test_duckdb(tmp_path, rows):
    path = tmp_path / "a.duckdb"
    table = pa.Table.from_pylist(rows) if rows else pa.table({"a": pa.array([], pa.int64())})
    with duckdb.connect(str(path)) as connection:
        connection.register("given", table)
        connection.execute("CREATE TABLE t AS FROM given")
    inputs = Inputs((f"duckdb:{path}#t",), scratch=str(tmp_path / "scratch"))
    check_source("duckdb", inputs, rows, missing=f"duckdb:{path}#none")


@pytest.mark.parametrize("rows", [ROWS, NUMBERS, []], ids=["rows", "numbers", "none"])
def test_bigquery(monkeypatch, rows):
    monkeypatch.setattr(bigquery, "PATIENCE", 5.0)
    fields = [
        {"name": "id", "type": "INTEGER"},
        {"name": "text", "type": "STRING"},
        {"name": "x", "type": "FLOAT"},
        {"name": "many", "type": "INTEGER", "mode": "REPEATED"},
    ]
    if "a" in (rows or [{}])[0]:
        fields = [{"name": "a", "type": "FLOAT"}, {"name": "b", "type": "FLOAT"}]
    with emulated(monkeypatch) as emulator:
        emulator.put("p.ds.t", fields, rows)
        check_source(
            "bigquery",
            Inputs(("bq://p.ds.t",)),
            rows,
            missing="bq://p.ds.none",
            change=lambda: emulator.put("p.ds.t", fields, rows),
        )
