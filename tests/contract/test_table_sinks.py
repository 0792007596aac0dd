"""Every sink of tables keeps what `trivet.testing.check_sink` asks."""

import itertools
import json

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
    assert not [path for path in tmp_path.glob("*/*")]
