"""How rows are shown, and written to files."""

import csv
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from trivet.core.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from trivet.cli.sql_run import Progress
    from trivet.sql.result import Result

_ROWS = 40
_NUMBERS = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC")
_ENDINGS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(slots=True)
class Output:
    """Shows results in one way. `rows` is how many a table has at most; 0 is all."""

    format: str = "table"
    file: str = ""
    rows: int = _ROWS

    def show(self, result: "Result", progress: "Progress") -> None:
        """Show, or write, what a statement has given."""
        if not result.fields:
            progress.stop()
            if result.message:
                click.echo(result.message, err=self.format != "table" or bool(self.file))
            return
        if self.file:
            with _written(self.file) as file:
                count = _write(self.format, result, file, progress)
            progress.stop()
            click.echo(f"{self.file}: {count:,} rows", err=True)
        elif self.format == "table":
            self._draw(result, progress)
        else:
            _write(self.format, result, sys.stdout.buffer, progress)

    def _draw(self, result: "Result", progress: "Progress") -> None:
        from rich import box
        from rich.table import Table

        from trivet.cli import drawn
        from trivet.sql.shown import cell

        taken = result.fetchmany(self.rows + 1) if self.rows else result.fetchall()
        progress.stop()
        shown = taken[: self.rows] if self.rows else taken
        wide = 60 if sys.stdout.isatty() else 1000
        table = Table(box=box.ROUNDED if sys.stdout.isatty() else None, pad_edge=sys.stdout.isatty())
        for one in result.fields:
            table.add_column(
                one.name, justify="right" if one.type.kind in _NUMBERS else "left", overflow="fold"
            )
        for row in shown:
            table.add_row(*(cell(value, wide) for value in row))
        drawn.console().print(table)
        if len(taken) > len(shown):
            click.echo(f"({len(shown):,} rows, and there are more: --rows, or \\rows in the shell)", err=True)


def chosen(format_: str | None, file: str | None, rows: int | None) -> Output:
    """Return the output that options ask for; raises InvalidArgument."""
    if file and format_ is None:
        format_ = _ENDINGS.get(Path(file).suffix.lower())
        if format_ is None:
            raise InvalidArgument(f"--output {file}: expected --format, or one of {', '.join(_ENDINGS)}")
    if format_ == "parquet" and not file:
        raise InvalidArgument("--format parquet: expected --output")
    if format_ == "table" and file:
        raise InvalidArgument("--format table: is for people; expected csv, json, jsonl or parquet")
    if rows is None:
        rows = _ROWS if sys.stdout.isatty() else 0
    return Output(format_ or "table", file or "", rows)


@contextmanager
def _written(name: str) -> Iterator[IO[bytes]]:
    """Open a file that is put in its place when it is whole."""
    path = Path(name)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise FailedPrecondition(f"{name}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _write(format_: str, result: "Result", file: IO[bytes], progress: "Progress") -> int:
    """Write all rows, and return how many."""
    reader = result.reader()
    if file is sys.stdout.buffer:
        first = next(iter(reader), None)
        progress.stop()
        batches: Iterator[Any] = iter(()) if first is None else _after(first, reader)
    else:
        batches = iter(reader)
    count = 0

    def counted() -> Iterator[Any]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            progress.rows = count
            yield batch

    _WRITERS[format_](result, reader.schema, counted(), file)
    file.flush()
    return count


def _after(first: Any, rest: Any) -> Iterator[Any]:
    yield first
    yield from rest


def _csv(result: "Result", schema: Any, batches: Iterator[Any], file: IO[bytes]) -> None:
    from io import StringIO

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([one.name for one in result.fields])
    file.write(text.getvalue().encode())
    for batch in batches:
        text.seek(0)
        text.truncate()
        writer.writerows(zip(*(_texts(column) for column in batch.columns), strict=True))
        file.write(text.getvalue().encode())


def _texts(column: Any) -> list[str]:
    return [_text(value) for value in _values(column)]


def _values(column: Any) -> list[Any]:
    from trivet.sql.rows import values

    return values(column)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case dict() | list():
            return json.dumps(_plain(value), ensure_ascii=False)
    return str(_plain(value))


def _json(result: "Result", schema: Any, batches: Iterator[Any], file: IO[bytes]) -> None:
    between = b"[\n"
    for batch in batches:
        for row in _values(batch):
            file.write(between + b"  " + json.dumps(_plain(row), ensure_ascii=False).encode())
            between = b",\n"
    file.write(b"[]\n" if between == b"[\n" else b"\n]\n")


def _jsonl(result: "Result", schema: Any, batches: Iterator[Any], file: IO[bytes]) -> None:
    for batch in batches:
        lines = (json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in _values(batch))
        file.write("".join(lines).encode())


def _parquet(result: "Result", schema: Any, batches: Iterator[Any], file: IO[bytes]) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for batch in batches:
            writer.write_table(pyarrow.Table.from_batches([batch]))


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Return a value as JSON has it."""
    match value:
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case float() if not isfinite(value):
            return str(value)
        case None | bool() | int() | str() | float():
            return value
        case Decimal():
            return format(value.normalize(), "f") if value else "0"
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_WRITERS: dict[str, Callable[["Result", Any, Iterator[Any], IO[bytes]], None]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
