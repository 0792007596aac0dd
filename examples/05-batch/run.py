"""Predict for 300,000 rows in batch, kill the job in the middle, resume it, and account for every row."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor

TRIVET = [sys.executable, "-m", "trivet"]
ROWS = 300_000
BROKEN = {1_000: "", 123_456: "tall", 299_999: '"'}
"""What some rows have instead of a number."""


def prepare(folder: Path) -> None:
    data = load_diabetes()
    model = GradientBoostingRegressor(n_estimators=50, random_state=0).fit(data.data, data.target)
    onnx = to_onnx(model, data.data[:1].astype(np.float32))
    (folder / "model").mkdir()
    (folder / "model/diabetes.onnx").write_bytes(onnx.SerializeToString())
    inputs = [{"name": name, "dtype": "float32"} for name in data.feature_names]
    (folder / "model/signature.json").write_text(json.dumps({"inputs": inputs}))

    generator = np.random.default_rng(0)
    drawn = data.data[generator.integers(0, len(data.data), ROWS)]
    values = np.round(drawn + generator.normal(size=drawn.shape) * 0.01, 5).tolist()
    with (folder / "rows.csv").open("w") as file:
        file.write(",".join(["id", *data.feature_names]) + "\n")
        for index, row in enumerate(values):
            file.write(
                ",".join([f"p-{index}", *map(repr, row[:-1]), BROKEN.get(index, repr(row[-1]))]) + "\n"
            )


def batch(folder: Path, output: str, *given: str) -> list[str]:
    command = [*TRIVET, "batch", "model", "--input", "rows.csv", "--output", output, "--key", "id"]
    return [*command, *given, "--workers", "2"]


def killed(folder: Path) -> None:
    """Start a job, and kill it and all of its processes once some of it is done."""
    command = batch(folder, "killed", "--id", "nightly")
    job = subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL)
    while job.poll() is None and not list((folder / "killed").glob(".*/results-*")):
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    print(f"killed; what is shown so far: {[one.name for one in (folder / 'killed').glob('[!.]*')]}")


def lines(folder: Path, kind: str) -> list[bytes]:
    return [
        line
        for file in sorted(folder.glob(f"prediction-*/prediction.{kind}-*"))
        for line in file.read_bytes().splitlines()
    ]


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)

        print("$ trivet batch model --input rows.csv --output whole --key id", flush=True)
        done = subprocess.run(batch(folder, "whole"), cwd=folder, check=False)
        assert done.returncode == 3, "some rows are broken"

        print("\n$ trivet batch model --input rows.csv --output killed --key id --id nightly", flush=True)
        killed(folder)
        print("\n$ trivet batch resume nightly", flush=True)
        again = subprocess.run([*TRIVET, "batch", "resume", "nightly"], cwd=folder, check=False)
        assert again.returncode == 3

        whole, resumed = lines(folder / "whole", "results"), lines(folder / "killed", "results")
        errors = [json.loads(line) for line in lines(folder / "killed", "errors_stats")]
        assert whole == resumed
        assert len(resumed) + len(errors) == ROWS
        assert [one["offset"] for one in errors] == sorted(BROKEN)
        print(f"\n{len(resumed):,} results, the same as without the kill, and {len(errors)} errors:")
        for one in errors:
            print(f"  row {one['offset']:>7,}: {one['error']['message']}")


if __name__ == "__main__":
    main()
