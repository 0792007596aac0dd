"""Compare what a way has written with what was meant, row by row; prints what it found as JSON.

    python check.py ROWS.npy ANSWERS.npy FIRST FILE ...

The first FIRST rows are expected, in their order. Where they are all there in another one, it says so.
"""

import hashlib
import json
import sys
from typing import Any

import numpy as np
import polars as pl
from common import NAMES

CLOSE = 1e-6  # relative: the last bits of a float32


def main() -> None:
    first = int(sys.argv[3])
    rows = np.load(sys.argv[1], mmap_mode="r")[:first]
    answers = np.load(sys.argv[2])[:first]
    print(json.dumps(compare(rows, answers, sys.argv[4:])))


def compare(rows: Any, answers: Any, files: list[str]) -> dict[str, Any]:
    with open(next(iter(files)), "rb") as file:
        head = json.loads(file.readline())
    arrays = isinstance(head["instance"], list)
    instance = pl.List(pl.Float64) if arrays else pl.Struct(dict.fromkeys(NAMES, pl.Float64))
    schema = {"instance": instance, "prediction": pl.Float64}
    native = "offset" in head
    if native:
        schema |= {"source": pl.String, "offset": pl.Int64}
    found = pl.scan_ndjson(files, schema=schema).collect(engine="streaming")
    told: dict[str, Any] = {"rows": len(found), "wrong": "", "ordered": True}
    if len(found) != len(rows):
        return {**told, "wrong": f"{len(found)} rows instead of {len(rows)}"}
    values = (
        found["instance"].explode().to_numpy().reshape(-1, len(NAMES))
        if arrays
        else found["instance"].struct.unnest().to_numpy()
    )
    predictions = found["prediction"].to_numpy().astype(np.float32)
    if not np.array_equal(values, rows):
        told["ordered"] = False
        order, meant = np.lexsort(values.T), np.lexsort(rows.T)
        values, rows = values[order], rows[meant]
        predictions, answers = predictions[order], answers[meant]
        if not np.array_equal(values, rows):
            return {**told, "wrong": "instances are not those that were read"}
    if native and not np.array_equal(found["offset"].to_numpy(), np.arange(len(found))):
        return {**told, "wrong": "offsets are not those of the rows"}
    told["off"] = float(np.max(np.abs(predictions - answers) / np.maximum(np.abs(answers), 1), initial=0))
    told["sum"] = float(predictions.sum(dtype=np.float64))
    told["sha256"] = hashlib.sha256(predictions.tobytes()).hexdigest()
    if not told["off"] <= CLOSE:
        told["wrong"] = f"a prediction is {told['off']:.1e} off"
    return told


if __name__ == "__main__":
    main()
