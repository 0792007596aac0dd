"""pandas: chunks of 100,000 rows, whose lines are those of `to_json` with a prediction beside each."""

from pathlib import Path

import numpy as np
import pandas as pd
from common import NAMES, Model, asked

ROWS = 100_000

ask = asked()
model = Model(ask.model)
chunks = (
    pd.read_csv(ask.input, dtype=np.float64, chunksize=ROWS)
    if ask.format == "csv"
    else pd.read_json(ask.input, lines=True, dtype=np.float64, chunksize=ROWS)
)
with chunks, Path(ask.output).open("w") as out:
    for chunk in chunks:
        predictions = map(str, model(chunk[list(NAMES)].to_numpy()).tolist())
        instances = chunk.to_json(orient="records", lines=True).splitlines()
        out.writelines(
            f'{{"instance":{instance},"prediction":{prediction}}}\n'
            for instance, prediction in zip(instances, predictions, strict=True)
        )
