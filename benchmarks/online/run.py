"""Trivet side by side with the servers that one would otherwise pick.

    python benchmarks/online/run.py                # everything: over an hour
    python benchmarks/online/run.py --quick        # one model, a few servers: to see that it works
    python benchmarks/online/run.py -c trivet -c mosec-batch -m onnx --rows 1 --connections 64
    python benchmarks/online/report.py             # show the last results again

Each server runs on one core and wrk on another, so requests a second are those of one core. The servers
take turns (A, B, C, A, B, C), so that a slow minute of the machine hits all of them.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click
import environments
import results
import scaling
from contestants import CONTESTANTS, Contestant
from environments import BUILD, HERE
from measure import Plan, Record, cells_of, one_pass, refuse_if_answered
from models import MODELS, Model, Rows, make
from processes import adopt_orphans, pin
from report import show, write_chart

NAMES = [contestant.name for contestant in CONTESTANTS]
PARTS = ("servers", "scaling")
QUICK = ("nginx", "trivet", "mosec-batch", "fastapi-async")


@click.command(help=__doc__.split("\n\n")[0], context_settings={"show_default": True})
@click.option("-c", "--contestant", "names", multiple=True, type=click.Choice(NAMES), help="Some of them.")
@click.option("-m", "--model", "models", multiple=True, type=click.Choice(MODELS), help="Some of them.")
@click.option("--rows", multiple=True, type=int, default=(1, 32), help="Rows in a request.")
@click.option("--connections", multiple=True, type=int, default=(1, 16, 64))
@click.option("--repeats", type=click.IntRange(1), default=3)
@click.option("--seconds", type=click.IntRange(1), default=3, help="Of load in a cell, after the warm-up.")
@click.option("--port", type=click.IntRange(1024, 65533), default=18080)
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS, help="Which of them."
)
@click.option("--quick", is_flag=True, help=f"One pass of {', '.join(QUICK)} with onnx, 1 row.")
@click.option("--output", type=click.Path(path_type=Path), default=HERE / "results" / "latest.json")
def main(  # noqa: PLR0913, PLR0917 - one for each option
    names: tuple[str, ...],
    models: tuple[str, ...],
    rows: tuple[int, ...],
    connections: tuple[int, ...],
    repeats: int,
    seconds: int,
    port: int,
    parts: tuple[str, ...],
    quick: bool,
    output: Path,
) -> None:
    cores = require_tools()
    refuse_if_answered(port)
    if quick:
        names, models = names or QUICK, models or ("onnx",)
        rows, connections, repeats, seconds, parts = (1,), (1, 64), 1, 1, ("servers",)
    plan = Plan(cells_of(rows, connections), port, seconds, warm_up=1, cores=(cores[0],))
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that servers are ended on the way out
    chosen, data = make(BUILD / "models", [name for name in MODELS if not models or name in models])
    kept = results.begin(plan, repeats, output)
    if "servers" in parts:
        ready = prepare([one for one in CONTESTANTS if not names or one.name in names], kept)
        pin({cores[1]})  # this process, and wrk, which inherits it
        compare(ready, chosen, data, repeats, plan, kept)
    if "scaling" in parts:
        pin(set(cores))
        compare_fronts(chosen, data, repeats, scaling.plan_of(plan, cores), kept)
    show(kept.document)
    write_chart(kept.document, output.with_suffix(".svg"))
    print(f"kept in {output} and {output.with_suffix('.svg')}")


def require_tools() -> list[int]:
    """Return the cores, those of server and client first; stops if a tool is missing."""
    if missing := [tool for tool in ("wrk", "nginx") if not shutil.which(tool)]:
        raise SystemExit(f"{' and '.join(missing)} not found; install: apt-get install {' '.join(missing)}")
    server, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise SystemExit("two cores are needed: one for the server, one for wrk")
    # Two threads of one physical core slow each other down; take another one if the machine has it.
    siblings = Path(f"/sys/devices/system/cpu/cpu{server}/topology/core_cpus")
    mask = int(siblings.read_text().replace(",", ""), 16) if siblings.exists() else 0
    others.sort(key=lambda core: mask >> core & 1)
    return [server, *others]


def prepare(asked: Iterable[Contestant], kept: results.Results) -> list[tuple[Contestant, str]]:
    """Build what is to be built; who cannot take part is told with the reason, and kept with it."""
    ready = []
    for contestant in asked:
        reason = contestant.missing()
        try:
            python = "" if reason else environments.python_of(contestant.environment)
        except environments.EnvironmentFailed as error:
            reason = str(error)
        if reason:
            print(f"{contestant.name} is left out: {reason}", flush=True)
            kept.leave_out(contestant, reason)
        else:
            kept.take_in(contestant)
            ready.append((contestant, python))
    return ready


def compare(
    ready: list[tuple[Contestant, str]],
    models: list[Model],
    rows: Rows,
    repeats: int,
    plan: Plan,
    kept: results.Results,
) -> None:
    began, passes = time.perf_counter(), len(ready) * len(models) * repeats
    done = 0
    for repeat in range(repeats):
        for model in models:
            for contestant, python in ready:
                records = one_pass(contestant, python, model, rows, plan)
                kept.add(records, repeat)
                done += 1
                left = (time.perf_counter() - began) / done * (passes - done) / 60
                tell(f"{done}/{passes}", contestant, model, records, f"{left:.0f} min left")


def compare_fronts(models: list[Model], rows: Rows, repeats: int, plan: Plan, kept: results.Results) -> None:
    """Measure one worker and two; wrk's own share of the cores is kept with it."""
    ready = prepare(scaling.CONTESTANTS, kept)
    kept.document["scaling_settings"] = {"cores": plan.cores, "threads": plan.threads}
    if plan.cores:
        pin(os.sched_getaffinity(0) - set(plan.cores))
    for repeat in range(repeats):
        for model in models:
            for contestant, python in ready:
                records = one_pass(contestant, python, model, rows, plan)
                kept.add(records, repeat, scaling=True)
                tell("two cores", contestant, model, records, "")


def tell(position: str, contestant: Contestant, model: Model, records: list[Record], left: str) -> None:
    _, *cells = records
    words = [
        f"{cell['rows']}x{cell['connections']} "
        + (f"FAILED ({cell['failed']})" if cell["failed"] else f"{cell['cpu_us']:.1f} µs")
        for cell in cells
    ]
    print(f"{position:>10}  {contestant.name:<15} {model.name:<8} {', '.join(words)}  {left}", flush=True)


if __name__ == "__main__":
    main()
