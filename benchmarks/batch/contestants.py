"""Those that are compared, and how each is run: one command, from a cold start to the whole output."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batch.cases import FORMATS, MODELS
from benchmarks.batch.environment import PEERS


@dataclass(frozen=True)
class Start:
    """What a contestant is run with; it writes to the file `output`, or into the folder of that name."""

    python: str  # of the environment of the others
    format: str
    input: Path
    model: Path
    output: Path


Command = Callable[[Start], list[str]]


@dataclass(frozen=True)
class Contestant:
    """`rows` is how many it is given at most; the time of more is extrapolated. One that is `slow` runs once.

    `results` are the files of its output, as patterns beneath `output` in the order of the rows.
    """

    name: str
    note: str
    command: Command
    kind: str  # of its part in the comparison; see GOALS in report.py
    formats: tuple[str, ...] = FORMATS
    models: tuple[str, ...] = MODELS
    results: str = ""
    rows: int | None = None
    slow: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    missing: Callable[[], str] = lambda: ""

    def files(self, output: Path) -> list[Path]:
        return sorted(output.glob(self.results)) if self.results else [output]


def _trivet(*options: str) -> Command:
    def command(start: Start) -> list[str]:
        given = ["--input", str(start.input), "--output", str(start.output), *options]
        return [sys.executable, "-m", "trivet", "batch", str(start.model.parent), *given]

    return command


def _peer(script: str, *options: str) -> Command:
    def command(start: Start) -> list[str]:
        files = (start.input, start.model, start.output)
        return [start.python, str(PEERS / script), start.format, *map(str, files), *options]

    return command


def _no_java() -> str:
    return "" if shutil.which("java") else "java not found; install: apt-get install default-jre-headless"


TRIVET_RESULTS = "prediction-*/prediction.results-*"
CONTESTANTS = (
    Contestant(
        "trivet",
        "`trivet batch` as it comes: objects, and the source and offset of each row besides",
        _trivet(),
        "trivet",
        results=TRIVET_RESULTS,
    ),
    Contestant(
        "trivet --vertex",
        "the managed service's rows: no source and offset; those of CSV files are arrays",
        _trivet("--vertex"),
        "trivet",
        results=TRIVET_RESULTS,
    ),
    Contestant(
        "polars",
        "streaming scan, map_batches, streaming sink; source and offset of each row, as trivet writes them",
        _peer("polars_stream.py", "native"),
        "native",
    ),
    Contestant(
        "duckdb",
        "scan, Arrow batches, lines written by Polars; source and offset, too",
        _peer("duckdb_batches.py", "native"),
        "native",
    ),
    Contestant(
        "polars (objects)",
        "the same without source and offset, as `trivet --vertex` does for JSON lines",
        _peer("polars_stream.py", "objects"),
        "objects",
        formats=("jsonl",),
    ),
    Contestant(
        "duckdb (objects)",
        "the same without source and offset",
        _peer("duckdb_batches.py", "objects"),
        "objects",
        formats=("jsonl",),
    ),
    Contestant(
        "polars (arrays)",
        "instances as arrays, and no source and offset, as `trivet --vertex` does for CSV",
        _peer("polars_stream.py", "arrays"),
        "arrays",
        formats=("csv",),
    ),
    Contestant(
        "duckdb (arrays)",
        "instances as arrays, and no source and offset",
        _peer("duckdb_batches.py", "arrays"),
        "arrays",
        formats=("csv",),
    ),
    Contestant("pandas", "chunks of 100,000 rows", _peer("pandas_chunks.py"), "pandas"),
    Contestant(
        "container",
        "64-row POSTs to a FastAPI container; 100,000 rows, extrapolated",
        _peer("container.py"),
        "container",
        rows=100_000,
        slow=True,
    ),
    Contestant(
        "ray data",
        "read, map_batches in an actor, write_json",
        _peer("ray_data.py"),
        "engine",
        results="*.json",
        slow=True,
        variables={"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"},
    ),
    Contestant(
        "pyspark",
        "local[2], iterator pandas UDF, 3 GB driver; source and number of each row",
        _peer("spark_udf.py", "native"),
        "engine, native",
        results="part-*.json",
        slow=True,
        missing=_no_java,
    ),
    Contestant(
        "pyspark (objects)",
        "the same without source and number",
        _peer("spark_udf.py", "objects"),
        "engine, objects",
        results="part-*.json",
        slow=True,
        missing=_no_java,
    ),
)
