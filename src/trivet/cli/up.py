"""`trivet up`: a server with a catalog of models and endpoints."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from trivet.cli import threads

if TYPE_CHECKING:
    from trivet.serving.lifecycle import ModelInfo

EPILOG = """
\b
Then, from another terminal:
  trivet model upload fraud models/fraud.cbm --alias champion
  trivet endpoint create scoring
  trivet deploy fraud@champion --to scoring
  trivet env                                      how Google's SDKs find this server

\b
Everything is kept in the data folder, and is there again the next time. Every option below is also a
setting; `trivet config` lists them all.
"""


@click.command(epilog=EPILOG)
@click.option("--data", help="Folder for all that is kept.  [default: .trivet]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks one.  [default: 8080]")
@click.option("--tls-port", type=click.IntRange(-1, 65535), help="Port for HTTPS and gRPC.  [default: 8443]")
@click.option("--proxy-port", type=click.IntRange(-1, 65535), help="Port of the proxy.  [default: 8081]")
@click.option("--workers", type=click.IntRange(min=0), help="Front processes.  [default: 0, one a core]")
@click.option("--catalog", help="PostgreSQL URL of a catalog that several servers share.")
@click.option("--allow-pickle", is_flag=True, default=None, help="Load pickles: they run code.")
@click.option("--allow-python/--no-python", default=None, help="Run Python predictors.  [default: allow]")
@click.option(
    "--allow-containers/--no-containers", default=None, help="Start applications.  [default: allow]"
)
@click.option("--log-requests", type=click.Choice(["errors", "all", "none"]), help="[default: errors]")
def command(**given: Any) -> None:
    """Keep models and endpoints, and serve them, until stopped.

    Speaks the Vertex AI API: Google's SDKs upload, deploy and predict here as they do there.
    """
    threads.keep_to_one()
    from trivet import config
    from trivet.app import up

    keys = {
        "data": "catalog.data",
        "catalog": "catalog.url",
        "host": "server.host",
        "port": "server.port",
        "workers": "server.workers",
        "tls_port": "gateway.tls_port",
        "proxy_port": "gateway.proxy_port",
        "allow_pickle": "artifacts.allow_pickle",
        "allow_python": "artifacts.allow_python",
        "allow_containers": "artifacts.allow_containers",
        "log_requests": "log.requests",
    }
    flags = {keys[name]: value for name, value in given.items() if value is not None}
    sys.exit(up.run(lambda: config.load(flags), _announce))


def _announce(addresses: Mapping[str, str], models: Sequence["ModelInfo"]) -> None:
    """Tell a person where the server is; a machine gets it as log lines."""
    if sys.stderr.isatty():
        for name, address in addresses.items():
            click.echo(f"{name:>6}  {address}", err=True)
        many = f"{len(models)} deployed models" if models else "nothing deployed yet"
        click.echo(f"\nServing {many}   (stop with Ctrl-C; `trivet status` shows it)", err=True)
        return
    import logging

    log = logging.getLogger("trivet")
    for model in models:
        where = f"{model.placement.where}: {model.placement.reason}"
        log.info("loaded %s (%s), %s", model.spec.ref, model.framework, where)
    log.info("serving on %s", addresses["http"])
    for name, address in addresses.items():
        if name != "http":
            log.info("%s: %s", name, address)
