"""Write the rows as CSV and as JSON lines, and what each model answers, straight from the numbers.

    python make_data.py ROWS BASE.npy FOLDER MODEL ...

Rows of BASE are drawn with replacement, with noise, and rounded to five decimals. Nothing is read back, so
that what a way reads is compared with what was meant.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from common import NAMES, Model

CHUNK = 500_000


def main() -> None:
    rows, base, folder = int(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
    models = {Path(file).parent.name: Model(file) for file in sys.argv[4:]}
    random = np.random.default_rng(0)
    matrix = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float64, (rows, len(NAMES)))
    answers = {name: np.empty(rows, np.float32) for name in models}
    with (folder / "rows.csv").open("wb") as csv, (folder / "rows.jsonl").open("wb") as lines:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            drawn = base[random.integers(0, len(base), count)]
            chunk = np.round(drawn + random.normal(scale=0.005, size=drawn.shape), 5) + 0.0  # no -0.0
            matrix[start : start + count] = chunk
            frame = pl.DataFrame(chunk, schema=list(NAMES))
            frame.write_csv(csv, include_header=not start)
            frame.write_ndjson(lines)
            for name, model in models.items():
                answers[name][start : start + count] = model(chunk)
    for name, found in answers.items():
        np.save(folder / f"{name}.npy", found)


if __name__ == "__main__":
    main()
