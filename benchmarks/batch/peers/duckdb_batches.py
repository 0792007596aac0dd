"""DuckDB: a scan on two threads, Arrow batches of 65,536 rows in a Python loop, lines written by Polars.

Its own `COPY ... (FORMAT json)` of an Arrow UDF takes half as long again. The last argument is what is
written, as in `polars_stream.py`.
"""

import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from common import NAMES, Model, asked

ask = asked()
rows_are = sys.argv[5]
model = Model(ask.model)
columns = "{" + ", ".join(f"'{name}': 'FLOAT'" for name in NAMES) + "}"
read = (
    f"read_csv(?, columns={columns}, header=true, auto_detect=false)"
    if ask.format == "csv"
    else f"read_json(?, format='newline_delimited', columns={columns})"
)
connection = duckdb.connect(config={"threads": 2})
batches = connection.sql(f"SELECT * FROM {read}", params=[ask.input]).to_arrow_reader(65_536)
offset = 0
with Path(ask.output).open("wb") as out:
    for batch in batches:
        matrix = np.empty((batch.num_rows, len(NAMES)), np.float32)
        for index, column in enumerate(batch.columns):
            matrix[:, index] = column.to_numpy(zero_copy_only=False)
        values = pl.from_arrow(batch)
        if rows_are == "arrays":
            instance = values.select(pl.concat_list(NAMES).alias("instance")).to_series()
        else:
            instance = values.to_struct("instance")
        made = pl.DataFrame([instance, pl.Series("prediction", model(matrix))])
        if rows_are == "native":
            numbers = pl.Series("offset", np.arange(offset, offset + len(made)))
            made = made.with_columns(pl.lit(ask.input).alias("source"), numbers)
            offset += len(made)
        made.write_ndjson(out)
