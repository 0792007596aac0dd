"""ML.PREDICT beside the model alone, pandas, and a row-at-a-time function.

    python -m benchmarks.sql                         # everything, 5 million rows
    python -m benchmarks.sql --quick                 # 200,000 rows, once: does it work here?
    python -m benchmarks.sql --model xgboost --only floor,trivet --repeats 5
    python -m benchmarks.sql --show                  # the last results again, drawn again

Each way is a process of its own; they take turns (A, B, C, A, B, C), so that a slow minute hits all.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.batch.__main__ import keep, processor
from benchmarks.sql.cases import MODELS, Place
from benchmarks.sql.chart import draw
from benchmarks.sql.report import show
from benchmarks.sql.way import WAYS

RESULTS = Path(__file__).parents[1] / "results" / "sql.json"
QUICK = 200_000
LIMIT = 900
LIBRARIES = (
    "trivet",
    "duckdb",
    "sqlglot",
    "pyarrow",
    "numpy",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "onnxruntime",
)


def main() -> None:
    asked = options().parse_args()
    if asked.show:
        document = json.loads(asked.output.read_text())
        show(document)
        asked.output.with_suffix(".svg").write_text(draw(document))
        return
    rows = asked.rows or (QUICK if asked.quick else 5_000_000)
    repeats = asked.repeats or (1 if asked.quick else 3)
    place = Place(asked.folder.resolve(), rows)
    place.make()
    document = begin(rows, repeats, asked.threads)
    for repeat in range(repeats):
        for model in asked.model:
            for way in asked.only:
                if way == "row by row" and repeat:
                    continue
                record = one(way, model, place, asked.threads)
                document["runs"].append({"repeat": repeat, "way": way, "model": model, **record})
                keep(document, asked.output)
                tell(document["runs"][-1])
    show(document)
    asked.output.with_suffix(".svg").write_text(draw(document))
    print(f"kept in {asked.output} and {asked.output.with_suffix('.svg')}")


def one(way: str, model: str, place: Place, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.sql.way", way, model, str(place.folder), str(place.rows)]
    load = os.getloadavg()[0]
    done = subprocess.run(
        [*command, str(threads)], capture_output=True, text=True, timeout=LIMIT, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["it said nothing"])[-1], "load": load}
    return {**json.loads(done.stdout.splitlines()[-1]), "load": load}


def tell(record: dict[str, Any]) -> None:
    about = f"{record['model']:<14}{record['way']:<12}"
    if "failed" in record:
        print(f"{about} FAILED {record['failed']}", flush=True)
        return
    each = record["cpu_s"] / record["rows"] * 1e6
    print(f"{about}{each:9.3f} CPU µs/row {record['seconds']:8.2f} s {record['rss_mb']:6.0f} MB "
          f"  load {record['load']:.1f}", flush=True)  # fmt: skip


def options() -> argparse.ArgumentParser:
    def some(known: Any) -> Any:
        def read(text: str) -> list[str]:
            found = [name.strip() for name in text.split(",")]
            if unknown := [name for name in found if name not in known]:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r}; known are {', '.join(known)}")
            return found

        return read

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sql",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, help="5,000,000 if nothing is said")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} rows, each way once")
    parser.add_argument("--only", type=some(WAYS), default=list(WAYS), help=f"of: {', '.join(WAYS)}")
    parser.add_argument("--model", type=some(MODELS), default=list(MODELS), help=f"of: {', '.join(MODELS)}")
    parser.add_argument("--repeats", type=int, help="3 if nothing is said")
    parser.add_argument("--threads", type=int, default=1, help="of DuckDB")
    default = Path(tempfile.gettempdir()) / "trivet-sql-bench"
    parser.add_argument("--folder", type=Path, default=default, help="for rows and models, which are kept")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="show and draw --output again")
    return parser


def begin(rows: int, repeats: int, threads: int) -> dict[str, Any]:
    where = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(where, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "machine": {
            "processor": processor(), "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        },
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "settings": {"rows": rows, "repeats": repeats, "threads": threads},
        "runs": [],
    }  # fmt: skip


if __name__ == "__main__":
    main()
