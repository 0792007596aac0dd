"""How results are shown, and what is told where they cannot be."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trivet import sql
from trivet.cli.sql_output import Output
from trivet.core.errors import InvalidArgument


class Progress:
    rows = 0

    def stop(self):
        pass


@pytest.mark.parametrize("format", ["table", "csv", "json", "jsonl"])
def test_a_date_that_python_has_not_is_an_error_that_the_shell_tells(tmp_path, monkeypatch, format):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"d": [pa.scalar(10**7, pa.date32())]}), "far.parquet")
    output = Output(format, "" if format == "table" else f"far.{format}")
    with sql.connect(":memory:") as connection:
        for result in connection.script("SELECT d FROM 'far.parquet'", streams=True):
            with pytest.raises(InvalidArgument, match="out of range"):
                output.show(result, Progress())
