"""`trivet batch`: predictions for files and tables, in the foreground or by a server."""

import sys
from typing import Any

import click

from trivet.cli.batch_jobs import COLLECTION, Jobs, Told, again, reaches
from trivet.cli.completions import AnyModelType, JobType
from trivet.core.errors import InvalidArgument
from trivet.core.resources import Name

EPILOG = """
\b
MODEL is a registered model (fraud, fraud@2, fraud@champion), or [FRAMEWORK:]PATH as `trivet serve` takes it:
  trivet batch fraud@champion --input 'data/*.csv' --output out/
  trivet batch models/fraud.cbm --input rows.jsonl.gz --output gs://bucket/out
  trivet batch fraud --input bq://p.ds.table --output bq://p.ds --exclude id --key id
  trivet batch sentiment --input files.txt --input-format file-list --output out/
  trivet batch --endpoint scoring --input rows.jsonl --output out/
  trivet batch ls

\b
Ends with status 0 if every row was predicted, 3 if some failed, 1 if the job failed, 130 if it was cancelled
(Ctrl-C; a second Ctrl-C leaves it as it is, for `trivet batch resume`). A model that is called like one of
the commands below is written with its version, as ls@1.
"""

DEFAULT = "embedded"


class Batch(click.Group):
    """A group whose command is `run` where the first word is no other: `trivet batch fraud --input ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is no command of the group for arguments of `run`."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Offer models, too."""
        models = AnyModelType().shell_complete(ctx, self.commands["run"].params[0], incomplete)
        return [*models, *super().shell_complete(ctx, incomplete)]


@click.group(cls=Batch, epilog=EPILOG)
def command() -> None:
    """Predict for all rows of files or tables: trivet batch MODEL --input ... --output ...

    Every row is in the results or among the errors. What is done is kept as it is done, so that a job goes on
    after a crash; the output is shown when it is whole. No server is needed.
    """


@command.command("run", epilog=EPILOG)
@click.argument("model", type=AnyModelType(), required=False)
@click.option(
    "--input", "inputs", multiple=True, required=True, metavar="PATH_OR_URI",
    help="File, folder, gs://, s3://, bq://PROJECT.DATASET.TABLE or duckdb:FILE#TABLE; with * and ? as "
    "wildcards, and compressed by gzip or zstd. May repeat.",
)  # fmt: skip
@click.option("--output", required=True, metavar="PATH_OR_URI", help="Folder or dataset for the results.")
@click.option(
    "--input-format", help="jsonl, csv, tf-record, tf-record-gzip, file-list, bigquery, parquet, duckdb."
    "  [default: by the name of the first input]",
)  # fmt: skip
@click.option("--output-format", help="jsonl, csv, parquet, bigquery, duckdb.  [default: jsonl, or by URI]")
@click.option("--sql", help="Query whose rows are the input, of a DuckDB database.")
@click.option("--instance-type", type=click.Choice(["object", "array"]), help="What a row becomes.")
@click.option("--key", help="Field that is not sent, and stands for the row in the output.")
@click.option("--include", multiple=True, metavar="FIELDS", help="Send these fields alone, in this order.")
@click.option("--exclude", multiple=True, metavar="FIELDS", help="Do not send these fields.")
@click.option("--parameters", help="Parameters as a JSON object.")
@click.option("--batch-size", type=click.IntRange(1), help="Instances that the model is asked about at once.")
@click.option("--workers", type=click.IntRange(0), help="Processes.  [default: batch.workers, one a core]")
@click.option("--max-errors", type=click.IntRange(0), help="Give up when more rows than this have failed.")
@click.option("--max-error-share", type=click.FloatRange(0, 1), help="The same, as a share of those read.")
@click.option("--engine", default=DEFAULT, show_default=True, help="Who does the work: embedded, ray.")
@click.option("--endpoint", help="Ask this endpoint instead of a model: its name here, or a URL.")
@click.option("--id", "id_", default="", help="Id of the job: the same one twice is one job.")
@click.option("--name", help="Name to show.  [default: MODEL]")
@click.option("--vertex", is_flag=True, help="Convert and write rows exactly as Google's service does.")
@click.option("--allow-pickle", is_flag=True, help="Load pickles: they run code.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON when it has ended.")
@reaches
def run(jobs: Jobs, *, model: str | None, id_: str, as_json: bool, **asked: Any) -> None:
    """Run a job, and show how far it is. This is what `trivet batch MODEL` does.

    --server has a server run it, which then reads and writes by itself.
    """
    from trivet.cli.batch_asked import document

    if (model is None) == (asked["endpoint"] is None):
        raise InvalidArgument("expected what predicts: either MODEL or --endpoint")
    _expect(jobs, asked["engine"], asked["workers"] or 0)
    told = jobs.create(document(jobs, model or "", asked), id_)
    _follow(jobs, told, as_json=as_json)


@command.command("ls")
@click.option("--filter", "filter_", default="", help='As `state="JOB_STATE_RUNNING"`, `labels.team=a`.')
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@reaches
def ls(jobs: Jobs, *, filter_: str, as_json: bool) -> None:
    """List jobs, the newest first."""
    from trivet.cli import drawn
    from trivet.cli.batch_shown import GONE, took

    found = list(jobs.listed(filter_))
    if as_json:
        drawn.print_json([jobs.json(one.name) for one in found])
        return
    table = drawn.table("job", "name", "state", ">rows", ">failed", "model", "created")
    for one in found:
        done = f" {100 * one.done // one.size} %" if one.size and not one.is_ended else took(one)
        done = f", {GONE}" if one.gone else done
        rows = one.successful + one.failed
        model = _model(jobs, one.model)
        table.add_row(
            short(jobs, one.name), one.display_name, one.state + done, f"{rows:,}", f"{one.failed:,}",
            model, drawn.ago(one.created),
        )  # fmt: skip
    drawn.console().print(table)


@command.command("show")
@click.argument("job", type=JobType())
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@reaches
def show(jobs: Jobs, *, job: str, as_json: bool) -> None:
    """Show a job: how far it is or how it went, and the first rows that failed."""
    from trivet.cli import drawn
    from trivet.cli.batch_shown import ended

    name = named(jobs, job)
    if as_json:
        drawn.print_json(jobs.json(name))
        return
    ended(jobs.get(name), as_id=short(jobs, name), resume=_resume(jobs, name))


@command.command("cancel")
@click.argument("job", type=JobType())
@reaches
def cancel(jobs: Jobs, *, job: str) -> None:
    """Cancel a job: it stops within a second, and nothing of its output is left."""
    name = named(jobs, job)
    told = jobs.cancel(name)
    click.echo(f"{short(jobs, name)} is {told.state}")


@command.command("resume")
@click.argument("job", type=JobType())
@click.option("--allow-pickle", is_flag=True, help="Load pickles: they run code.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON when it has ended.")
@reaches
def resume(jobs: Jobs, *, job: str, as_json: bool, **_: Any) -> None:
    """Go on with a job that failed or was interrupted; what was done is not done again."""
    _follow(jobs, jobs.resume(named(jobs, job)), as_json=as_json)


@command.command("rm")
@click.argument("job", type=JobType())
@reaches
def rm(jobs: Jobs, *, job: str) -> None:
    """Forget a job that has ended. Its output stays."""
    name = named(jobs, job)
    jobs.delete(name)
    click.echo(f"{short(jobs, name)} is deleted")


def named(jobs: Jobs, job: str) -> Name:
    """Return the full name of a job; raises InvalidArgument."""
    return Name.parse(job if job.startswith("projects/") else f"{jobs.home}/{COLLECTION}/{job}", COLLECTION)


def short(jobs: Jobs, name: Name) -> str:
    """Return a job's name as it may be written here."""
    return name.id if name.parent == jobs.home else str(name)


def _resume(jobs: Jobs, name: Name) -> str:
    """Return the command that resumes a job where this one has found it."""
    return f"trivet batch resume {short(jobs, name)}{again(click.get_current_context().params)}"


def _model(jobs: Jobs, model: str) -> str:
    prefix = f"{jobs.home}/models/"
    return model.removeprefix(prefix)


def _expect(jobs: Jobs, engine: str, workers: int) -> None:
    from trivet.cli.batch_here import Here

    if isinstance(jobs, Here) and engine == DEFAULT:
        jobs.expect(workers)


def _follow(jobs: Jobs, told: Told, *, as_json: bool) -> None:
    """Wait for a job's end, print how it went, and end with the status that says so."""
    from trivet.cli import drawn
    from trivet.cli.batch_shown import STATUS, ended, progress

    with progress(short(jobs, told.name)) as sees:
        sees(told)
        told = jobs.follow(told.name, sees)
    if as_json:
        drawn.print_json(jobs.json(told.name))
    else:
        ended(told, as_id=short(jobs, told.name), resume=_resume(jobs, told.name))
    sys.exit(STATUS.get(told.state, 1))
