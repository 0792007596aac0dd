"""`trivet sql`: statements, in a shell or one by one."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trivet.core.errors import InvalidArgument

if TYPE_CHECKING:
    from trivet.cli.sql_engine import Opened

EPILOG = """
\b
Without STATEMENTS, a shell; the first lines of a session might be
  trivet sql "CREATE MODEL ds.fraud OPTIONS(model_type='XGBOOST', model_path='models/fraud.ubj')"
  trivet sql "SELECT * FROM ML.PREDICT(MODEL ds.fraud, TABLE ds.payments) LIMIT 10"
  trivet sql "SELECT * FROM 'payments.parquet' WHERE amount > @least" --param least:FLOAT64:100
  trivet sql -f report.sql --format csv -o report.csv
  trivet sql --server http://localhost:8080 "SELECT 1"

\b
A table may be a file: FROM 'data/*.parquet' (or .csv, .json, .jsonl; gs:// and s3://, too). A model may be
any that is registered: ML.PREDICT(MODEL `fraud@champion`, ...). Ends with status 0, 1 where a statement
failed, 130 after Ctrl-C.
"""

FORMATS = ("table", "csv", "json", "jsonl", "parquet")


@click.command(epilog=EPILOG)
@click.argument("statements", required=False)
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, allow_dash=True), help="Run a file; - is stdin."
)
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME:TYPE:VALUE",
    help="For @NAME; in order for ?, where NAME is empty. TYPE is STRING where empty. May repeat.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Of the rows.  [default: table]")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File for the rows of the last query.")
@click.option("--rows", type=click.IntRange(0), help="Rows drawn as a table; 0 is all.  [default: 40 here]")
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "bigquery"]),
    default="duckdb",
    show_default=True,
    help="Who runs statements: this process, or the real BigQuery.",
)
@click.option("--staging", metavar="gs://BUCKET/PREFIX", help="Where --engine bigquery puts model files.")
@click.option("--server", help="URL of a server that runs statements.")
@click.option("--database", type=click.Path(dir_okay=False), help="DuckDB file of the project's tables.")
@click.option("--data", help="Folder where all is kept.  [default: .trivet]")
@click.option("--project", help="Project of plain names.  [default: local]")
@click.option("--dataset", default="", help="Dataset of plain names.")
@click.option("--dialect", type=click.Choice(["bigquery", "duckdb"]), default="bigquery", show_default=True)
@click.option("--read-only", is_flag=True, help="Change nothing, so that others may read meanwhile.")
@click.option("--allow-pickle", is_flag=True, help="Load pickles: they run code.")
def command(statements: str | None, *, file: str | None, params: tuple[str, ...], **given: Any) -> None:
    """Import models with SQL, and predict with it: CREATE MODEL, ML.PREDICT, and all around them.

    Statements are BigQuery's, and run in this process over files in the data folder.
    """
    from trivet.cli import sql_engine, sql_output, sql_run
    from trivet.cli.sql_params import parameters

    if statements is not None and file is not None:
        raise InvalidArgument("expected either STATEMENTS or --file")
    text = _text(statements, file)
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot read, DuckDB may
    if text is not None and text.lstrip().startswith("\\"):
        word = text.split()[0]
        raise InvalidArgument(f"{word}: is a command of the shell: run `trivet sql` without statements")
    output = sql_output.chosen(given["format_"], given["output"], given["rows"])
    with sql_engine.opened(**{name: given[name] for name in sql_engine.OPTIONS}) as opened:
        if text is None:
            _shell(opened, given, output)
            return
        status = sql_run.run(opened.engine, text, parameters(params), output)
    sys.exit(status)


def _text(statements: str | None, file: str | None) -> str | None:
    """Return what to run, None for a shell."""
    if statements is not None:
        return statements
    if file == "-" or (file is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    if file is None:
        return None
    try:
        return Path(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: cannot be read: {error}") from None


def _shell(opened: "Opened", given: dict[str, Any], output: Any) -> None:
    from trivet.cli.sql_shell import Shell

    if given["output"]:
        raise InvalidArgument("--output: expected statements with it")
    Shell(opened.engine, output).run(opened.history)
