"""Measure one contestant over one input with one model: run it, and read all that it has written."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.batch import cases
from benchmarks.batch.cases import Data
from benchmarks.batch.contestants import Contestant, Start
from benchmarks.batch.environment import PEERS, python_of
from benchmarks.batch.processes import Used, run

Record = dict[str, Any]

LIMIT = 580.0  # seconds


@dataclass(frozen=True)
class Place:
    """Where things are; `data` has all rows, and the whole folder may be removed."""

    folder: Path
    data: Data

    @property
    def runs(self) -> Path:
        return self.folder / "run"


def one(contestant: Contestant, format: str, model: str, place: Place) -> Record:
    """Return what a run used, or why it failed."""
    shutil.rmtree(place.runs, ignore_errors=True)
    place.runs.mkdir(parents=True)
    python = python_of(place.folder)
    data = cases.few(place.data, contestant.rows or place.data.rows)
    output = place.runs / "out"
    start = Start(python, format, data.input(format), cases.model_file(place.folder, model), output)
    variables = {"TRIVET_DATA": str(place.runs / "catalog"), **contestant.variables}
    os.sync()
    load = os.getloadavg()[0]
    used = run(contestant.command(start), variables, place.runs / "log", LIMIT)
    record = {
        "contestant": contestant.name,
        "format": format,
        "model": model,
        "load": load,  # of the machine, before
        **asdict(used),
        "rows": data.rows,
        "all_s": _extrapolated(used, data.rows, place.data.rows, output),
    }
    if not used.failed:
        record["check"] = _check(contestant.files(output), data, model, python)
        record["bytes"] = sum(file.stat().st_size for file in contestant.files(output))
        record["failed"] = record["check"]["wrong"]
    shutil.rmtree(place.runs, ignore_errors=True)
    return record


def _extrapolated(used: Used, rows: int, wanted: int, output: Path) -> float:
    """Return the seconds for all rows; starting takes as long for few as for many."""
    if rows == wanted:
        return used.seconds
    started = Path(f"{output}.started")
    begun = float(started.read_text()) if started.exists() else 0.0
    return begun + (used.seconds - begun) * wanted / rows


def _check(files: list[Path], data: Data, model: str, python: str) -> dict[str, Any]:
    if not files:
        return {"wrong": "it has written nothing"}
    given = [str(data.matrix), str(data.answers(model)), str(data.rows), *map(str, files)]
    done = subprocess.run(
        [python, str(PEERS / "check.py"), *given], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"wrong": f"its output cannot be read: {done.stderr.strip().splitlines()[-1]}"}
    return json.loads(done.stdout)
