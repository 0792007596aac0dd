"""`trivet serve`: serve models from files."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trivet.cli import threads
from trivet.cli.models import ModelType, settings
from trivet.core.errors import InvalidArgument

if TYPE_CHECKING:
    from trivet.serving.lifecycle import ModelInfo

EPILOG = """
\b
MODEL is [NAME[@VERSION]=][FRAMEWORK:]PATH, where PATH may also be a gs:// or s3:// URI:
  trivet serve model.onnx                         served as /v1/models/model:predict
  trivet serve churn=models/churn/                a folder that holds one model
  trivet serve churn@1=old.ubj churn@2=new.ubj    the higher version answers for `churn`
  trivet serve demo=echo:                         returns what it gets

\b
Without MODEL, the models of trivet.toml are served. Every option below is also a setting;
`trivet config` lists them all.
"""


@click.command(epilog=EPILOG)
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=ModelType())
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--workers", type=click.IntRange(min=0), help="Front processes.  [default: 0, one a core]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks one.  [default: 8080]")
@click.option(
    "--output",
    type=click.Choice(["labels", "probabilities", "detailed", "booster"]),
    help="What classifiers answer where the request does not say.  [default: labels]",
)
@click.option(
    "--placement",
    type=click.Choice(["auto", "inline", "thread", "process"]),
    help="Where models run.  [default: auto, as measured]",
)
@click.option("--replicas", type=click.IntRange(min=1), help="Processes of a model that runs in them.")
@click.option("--trust-type", multiple=True, help="Trust a type in skops files; may repeat.")
@click.option("--allow-pickle", is_flag=True, default=None, help="Load pickles: they run code.")
@click.option("--allow-python/--no-python", default=None, help="Run Python predictors.  [default: allow]")
@click.option(
    "--allow-containers/--no-containers", default=None, help="Start applications.  [default: allow]"
)
@click.option("--log-requests", type=click.Choice(["errors", "all", "none"]), help="[default: errors]")
def command(
    models: Sequence[str], output: str | None, placement: str | None, replicas: int | None, **given: Any
) -> None:
    """Serve models from files until stopped.

    Each is loaded, warmed up and measured; /readyz answers 200 when all can predict.
    """
    threads.keep_to_one()
    from trivet import config
    from trivet.app import serve
    from trivet.settings import Settings

    keys = {
        "workers": "server.workers",
        "host": "server.host",
        "port": "server.port",
        "allow_pickle": "artifacts.allow_pickle",
        "trust_type": "artifacts.trusted_types",
        "allow_python": "artifacts.allow_python",
        "allow_containers": "artifacts.allow_containers",
        "log_requests": "log.requests",
    }
    flags = {keys[name]: value for name, value in given.items() if value not in (None, ())}
    own = {"output": output, "placement": placement, "replicas": replicas}

    def reread() -> Settings:
        read = config.load(flags, settings(models, {k: v for k, v in own.items() if v is not None}))
        if not read.models:
            raise InvalidArgument("nothing to serve: name a model, as in `trivet serve model.onnx`")
        return read

    if sys.stderr.isatty():
        click.echo(f"Loading {', '.join(reread().models)} ...", err=True)
    sys.exit(serve.run(reread, _announce))


def _announce(address: str, models: Sequence["ModelInfo"]) -> None:
    """Tell a person what is served and how to call it; a machine gets it as log lines."""
    from trivet.protocols.status import example_call

    if sys.stderr.isatty():
        _draw(models)
        click.echo(f"\nServing on {address}   (stop with Ctrl-C)\n", err=True)
        click.echo(f"  {example_call(address, models[0])}\n", err=True)
        return
    import logging

    log = logging.getLogger("trivet")
    for model in models:
        where = f"{model.placement.where}: {model.placement.reason}"
        log.info("loaded %s (%s), %s", model.spec.ref, model.framework, where)
    log.info("serving on %s", address)


def _draw(models: Sequence["ModelInfo"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("model", "framework", "takes", "runs", "loaded in"):
        table.add_column(heading)
    for model in models:
        takes = ", ".join(spec.describe() for spec in model.signature.inputs[:4])
        more = ", ..." if len(model.signature.inputs) > 4 else ""
        table.add_row(
            str(model.spec.ref),
            model.framework,
            takes + more,
            model.placement.where,
            f"{model.load_seconds:.2f} s",
        )
    Console(stderr=True).print(table)
