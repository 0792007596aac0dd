"""Every sink of tables keeps what `trivet.testing.check_sink` asks."""

import itertools
import json
import os
import tempfile
from pathlib import Path

import duckdb
import pytest

from tests.integration.bigquery import emulated
from trivet.sinks.base import Outputs
from trivet.sinks.bigquery import Tables
from trivet.storage import bigquery
from trivet.testing import check_sink
from trivet.testing.sinks import Shown


def test_bigquery_conforms(tmp_path, monkeypatch):
    monkeypatch.setattr(bigquery, "PATIENCE", 5.0)
    numbers = itertools.count()

    def place(native):
        number = next(numbers)
        name = f"prediction-m-2026_11_26T08_00_00_{number:03}Z"
        return Outputs("bq://p.ds", name, scratch=str(tmp_path / f"scratch{number}"), native=native)

    def find(outputs):
        tables = Tables.of(outputs)
        predictions, errors = (
            emulator.rows.get((one.project, one.dataset, one.table))
            for one in (tables.predictions, tables.errors)
        )
        if predictions is None:
            return None
        rows = [{**row, "prediction": json.loads(row["prediction"])} for row in predictions]
        failed = [{**row, **row["errors"]} for row in errors or ()]
        return Shown(rows, failed, (predictions, errors))

    with emulated(monkeypatch) as emulator:
        emulator.put("p.ds.other", [{"name": "x", "type": "STRING"}], [])
        check_sink("bigquery", place, find)
        left = [name for name in emulator.names() if "_trivet_" in name]
    assert left == []
    assert not list(tmp_path.glob("*/*"))


@pytest.fixture
def in_memory(tmp_path):
    """Return a folder whose disk need not be waited for, if there is one."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder)


def test_duckdb_conforms(in_memory):
    numbers = itertools.count()

    def place(native):
        number = next(numbers)
        uri = f"duckdb:{in_memory}/{number}.duckdb#t"
        return Outputs(
            uri, f"prediction-m-{number}", scratch=str(in_memory / f"scratch{number}"), native=native
        )

    def find(outputs):
        path, _, table = outputs.uri.removeprefix("duckdb:").partition("#")
        if not os.path.exists(path):
            return None
        with duckdb.connect(path, read_only=True) as connection:
            names = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
            if table not in names:
                assert f"{table}_errors" not in names
                return None
            rows, errors = (
                connection.sql(f"FROM {name}").to_arrow_table().to_pylist()
                for name in (table, f"{table}_errors")
            )
        content = json.dumps([rows, errors])
        return Shown(rows, [{**error, **error["error"]} for error in errors], content)

    check_sink("duckdb", place, find)
    assert not list(in_memory.glob("*/*"))
