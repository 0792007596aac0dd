"""DuckDB: a scan on two threads, Arrow batches of 65,536 rows in a Python loop, lines written by Polars.

Its own `COPY ... (FORMAT json)` of an Arrow UDF takes half as long again.
"""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from common import NAMES, Model, asked

ask = asked()
model = Model(ask.model)
columns = "{" + ", ".join(f"'{name}': 'FLOAT'" for name in NAMES) + "}"
read = (
    f"read_csv(?, columns={columns}, header=true, auto_detect=false)"
    if ask.format == "csv"
    else f"read_json(?, format='newline_delimited', columns={columns})"
)
connection = duckdb.connect(config={"threads": 2})
batches = connection.sql(f"SELECT * FROM {read}", params=[ask.input]).to_arrow_reader(65_536)
with Path(ask.output).open("wb") as out:
    for batch in batches:
        matrix = np.empty((batch.num_rows, len(NAMES)), np.float32)
        for index, column in enumerate(batch.columns):
            matrix[:, index] = column.to_numpy(zero_copy_only=False)
        instance = pl.from_arrow(batch).to_struct("instance")
        pl.DataFrame([instance, pl.Series("prediction", model(matrix))]).write_ndjson(out)
