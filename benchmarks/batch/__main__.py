"""Batch prediction side by side with the ways that one would otherwise take.

    python -m benchmarks.batch                       # everything, 5 million rows: three quarters of an hour
    python -m benchmarks.batch --quick               # 100,000 rows, once: does it work here?
    python -m benchmarks.batch --only trivet,polars --format csv --model gbdt --repeats 5
    python -m benchmarks.batch --show                # the last results again

Each way is a process of its own, from a cold start to the whole output, which is then read and compared with
what was meant, row by row. They take turns (A, B, C, A, B, C), so that a slow minute of the machine hits all.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.batch import cases, echo, environment, measure
from benchmarks.batch.chart import draw
from benchmarks.batch.contestants import CONTESTANTS, Contestant
from benchmarks.batch.report import show
from benchmarks.online.processes import adopt_orphans

RESULTS = Path(__file__).parents[1] / "results" / "batch.json"
QUICK = 100_000
Document = dict[str, Any]


def main() -> None:
    asked = options().parse_args()
    if asked.show:
        show(json.loads(asked.output.read_text()))
        return
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what runs is ended, too
    rows = asked.rows or (QUICK if asked.quick else 5_000_000)
    repeats = asked.repeats or (1 if asked.quick else 3)
    asked.folder.mkdir(parents=True, exist_ok=True)
    place = measure.Place(asked.folder.resolve(), cases.make(asked.folder.resolve(), rows))
    document = begin(rows, repeats)
    chosen = [one for one in CONTESTANTS if not asked.only or one.name in asked.only]
    ready = [one for one in chosen if take_part(one, document)]
    environment.compile_trivet()
    place.data.warm()
    for repeat in range(repeats):
        for format in asked.format:
            for model in asked.model:
                for one in ready:
                    if format in one.formats and model in one.models and not (one.slow and repeat):
                        record = {"repeat": repeat, **measure.one(one, format, model, place)}
                        document["runs"].append(record)
                        keep(document, asked.output)
                        tell(record)
    if not asked.only:
        document["echo"] = echo.measure(fresh(place.folder / "echo"), max(repeats, 3))
    keep(document, asked.output)
    show(document)
    asked.output.with_suffix(".svg").write_text(draw(document))
    print(f"kept in {asked.output} and {asked.output.with_suffix('.svg')}")


def options() -> argparse.ArgumentParser:
    names = [one.name for one in CONTESTANTS]

    def some(known: list[str] | tuple[str, ...]) -> Any:
        def read(text: str) -> list[str]:
            found = [name.strip() for name in text.split(",")]
            if unknown := [name for name in found if name not in known]:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r}; known are {', '.join(known)}")
            return found

        return read

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Path(tempfile.gettempdir()) / "trivet-batch-bench"
    parser.add_argument("--rows", type=int, help="5,000,000 if nothing is said")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} rows, each way once")
    parser.add_argument("--only", type=some(names), default=[], help=f"of: {', '.join(names)}")
    parser.add_argument("--format", type=some(cases.FORMATS), default=cases.FORMATS)
    parser.add_argument("--model", type=some(cases.MODELS), default=cases.MODELS)
    parser.add_argument("--repeats", type=int, help="3 if nothing is said; slow ways run once all the same")
    parser.add_argument(
        "--folder", type=Path, default=default, help="for data and environments, which are kept"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="show --output again, and measure nothing")
    return parser


def begin(rows: int, repeats: int) -> Document:
    commit = subprocess.run(
        ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        "versions": {"trivet": environment.ours(), "others": environment.pins()},
        "settings": {"rows": rows, "repeats": repeats},
        "contestants": {},
        "left_out": {},
        "runs": [],
        "echo": {},
    }


def take_part(one: Contestant, document: Document) -> bool:
    if reason := one.missing():
        print(f"{one.name} is left out: {reason}", flush=True)
        document["left_out"][one.name] = reason
        return False
    about = asdict(one)
    document["contestants"][one.name] = {key: about[key] for key in ("note", "kind", "rows", "slow")}
    return True


def tell(record: Document) -> None:
    about = f"{record['format']:<6}{record['model']:<8}{record['contestant']:<16}"
    if record["failed"]:
        print(f"{about} FAILED {record['failed']}", flush=True)
        return
    print(
        f"{about}{record['all_s']:8.2f} s {record['cpu_s'] / record['rows'] * 1e6:8.2f} CPU µs/row"
        f"{record['pss_mb']:8.0f} MB   load {record['load']:.1f}",
        flush=True,
    )


def fresh(folder: Path) -> Path:
    """Return a folder of a new name inside one, so that nothing is there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder)) / "echo"


def keep(document: Document, file: Path) -> None:
    """Write the document after each run: an interrupted one keeps what it has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(".part")
    whole.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    whole.replace(file)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
