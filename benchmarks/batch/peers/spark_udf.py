"""PySpark: `local[2]`, an iterator pandas UDF of 65,536 records a batch, 3 GB for the driver.

The last argument is what is written, as in `polars_stream.py`; in place of an offset, which Spark does not
have, its own number of each row.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # of its Python workers
os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["PYSPARK_SUBMIT_ARGS"] = "--driver-memory 3g pyspark-shell"

import pandas as pd
from common import NAMES, Model, asked
from pyspark.sql import SparkSession
from pyspark.sql.functions import input_file_name, monotonically_increasing_id, pandas_udf, struct
from pyspark.sql.types import DoubleType, StructField, StructType

ask = asked()
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "65536")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
file = ask.model


@pandas_udf("float")
def predict(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
    model = Model(file)
    for columns in batches:
        yield pd.Series(model(pd.concat(columns, axis=1).to_numpy()))


schema = StructType([StructField(name, DoubleType()) for name in NAMES])
rows = (
    spark.read.csv(ask.input, schema=schema, header=True)
    if ask.format == "csv"
    else spark.read.json(ask.input, schema=schema)
)
written = [struct(*NAMES).alias("instance"), predict(*NAMES).alias("prediction")]
if sys.argv[5] == "native":
    written += [input_file_name().alias("source"), monotonically_increasing_id().alias("id")]
rows.select(*written).write.json(ask.output)
spark.stop()
