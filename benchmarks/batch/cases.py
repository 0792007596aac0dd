"""The models, and the rows that all ways read: made once, and kept in a folder outside the repository."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.batch.environment import PEERS, python_of

FORMATS = ("csv", "jsonl")
MODELS = ("gbdt", "linear")
NAMES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


@dataclass(frozen=True)
class Data:
    """The files of so many rows, and what each model answers."""

    rows: int
    folder: Path
    name: str = "rows"

    def input(self, format: str) -> Path:
        return self.folder / f"{self.name}.{format}"

    @property
    def matrix(self) -> Path:
        return self.folder / "rows.npy"

    def answers(self, model: str) -> Path:
        return self.folder / f"{model}.npy"

    def warm(self) -> None:
        """Have the files in the page cache, as all ways shall find them."""
        for format in FORMATS:
            with self.input(format).open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def make(folder: Path, rows: int) -> Data:
    """Train the models and write the rows, unless that was done already with the same models."""
    base, models = _train(folder / "models")
    data = Data(rows, folder / f"rows-{rows}")
    digests = {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in models}
    stamp = data.folder / "made.json"
    if stamp.exists() and json.loads(stamp.read_text()) == digests:
        return data
    print(f"Writing {rows:,} rows (once) ...", flush=True)
    data.folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    command = [python_of(folder), str(PEERS / "make_data.py"), str(rows), str(base), str(data.folder)]
    subprocess.run([*command, *map(str, models)], check=True)
    stamp.write_text(json.dumps(digests))
    return data


def few(data: Data, rows: int) -> Data:
    """Return the first rows as files of their own, for ways that would take too long over all."""
    if rows >= data.rows:
        return data
    some = Data(rows, data.folder, f"first-{rows}")
    for format in FORMATS:
        _head(data.input(format), some.input(format), rows + (format == "csv"))
    return some


def _head(source: Path, target: Path, lines: int) -> None:
    with source.open("rb") as file, target.open("wb") as out:
        for _ in range(lines):
            out.write(file.readline())


def model_file(folder: Path, model: str) -> Path:
    return folder / "models" / model / "model.onnx"


def _train(folder: Path) -> tuple[Path, list[Path]]:
    """Return the rows that the models were fitted on, and the models as ONNX."""
    import numpy as np
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    folder.mkdir(parents=True, exist_ok=True)
    x, y = load_diabetes(return_X_y=True)
    np.save(folder / "base.npy", x)
    made = {
        "gbdt": GradientBoostingRegressor(n_estimators=50, max_depth=3, random_state=0),
        "linear": LinearRegression(),
    }
    return folder / "base.npy", [_onnx(folder / name, made[name].fit(x, y)) for name in MODELS]


def _onnx(folder: Path, model: Any) -> Path:
    """Save a model, with a signature that has the names of its columns."""
    import numpy as np
    from skl2onnx import to_onnx

    folder.mkdir(exist_ok=True)
    matrix = {"name": "X", "dtype": "float32", "shape": [len(NAMES)], "fields": NAMES}
    (folder / "signature.json").write_text(json.dumps({"inputs": [matrix]}))
    file = folder / "model.onnx"
    converted = to_onnx(model, np.zeros((1, len(NAMES)), np.float32), target_opset=18)
    converted.graph.name = "model"  # instead of a random one
    file.write_bytes(converted.SerializeToString())
    return file
