"""`trivet predict`: ask a running server, for rows from a file."""

import json
import sys
from collections.abc import Iterator
from typing import IO, Any

import click

from trivet.core.errors import InvalidArgument, ServingError, Unavailable


@click.command()
@click.argument("server")
@click.argument("model")
@click.option(
    "--input",
    "source",
    type=click.File("r"),
    help="JSON Lines: one instance per line; `-` is standard input.",
)
@click.option("--instance", "-i", "given", multiple=True, help="One instance as JSON; may repeat.")
@click.option(
    "--output",
    type=click.Choice(["labels", "probabilities", "detailed"]),
    help="What a classifier should answer.",
)
@click.option("--parameters", help="Parameters as a JSON object.")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Rows a request.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds for one request.")
def command(
    server: str,
    model: str,
    source: IO[str] | None,
    given: tuple[str, ...],
    batch: int,
    timeout: float,
    **options: str | None,
) -> None:
    """Ask MODEL (or MODEL@VERSION) on SERVER for predictions, one JSON line each on standard output.

    \b
    trivet predict http://localhost:8080 churn --input rows.jsonl
    trivet predict http://localhost:8080 churn -i '[5.1, 3.5, 1.4, 0.2]' --output detailed
    """
    from trivet.cli.client import Client

    if (source is None) == (not given):
        raise InvalidArgument("expected instances: either --input FILE or --instance JSON")
    parameters = _parameters(options["parameters"], options["output"])
    lines = enumerate(given, 1) if source is None else enumerate(source, 1)
    client = Client(server, timeout)
    with _progress() as advance:
        for numbers, rows in _batches(lines, batch):
            try:
                predictions = client.predict(model, rows, parameters)
            except ServingError as error:
                if numbers and not isinstance(error, Unavailable):
                    error.add_note(f"lines {numbers[0]} to {numbers[-1]}")
                raise
            for prediction in predictions:
                click.echo(json.dumps(prediction))
            advance(len(rows))


def _parameters(given: str | None, output: str | None) -> dict[str, Any]:
    try:
        parameters = json.loads(given) if given else {}
    except ValueError as error:
        raise InvalidArgument(f"--parameters: not valid JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise InvalidArgument("--parameters: expected a JSON object")
    return {**parameters, "output": output} if output else parameters


def _batches(lines: Iterator[tuple[int, str]], size: int) -> Iterator[tuple[list[int], list[Any]]]:
    numbers: list[int] = []
    rows: list[Any] = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InvalidArgument(f"line {number}: not valid JSON: {error}") from None
        numbers.append(number)
        if len(rows) == size:
            yield numbers, rows
            numbers, rows = [], []
    if rows:
        yield numbers, rows


def _progress() -> Any:
    """Return a context that shows rows and rows/s on a terminal whose output goes elsewhere."""
    from contextlib import contextmanager

    @contextmanager
    def shown() -> Iterator[Any]:
        if not sys.stderr.isatty() or sys.stdout.isatty():
            yield lambda rows: None
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TextColumn("{task.speed:,.0f} rows/s"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("predict", total=None)
            yield lambda rows: progress.advance(task, rows)

    return shown()
