"""The command line. Each command is one file of this package, imported only when it is asked for."""

import atexit
import gc
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import add_completion_class

from trivet.cli.bash import JoinedBashComplete

COMMANDS = (
    "serve",
    "up",
    "model",
    "endpoint",
    "deploy",
    "traffic",
    "undeploy",
    "status",
    "env",
    "run",
    "container",
    "predict",
    "batch",
    "sql",
    "inspect",
    "export",
    "config",
    "completion",
)

EXAMPLES = """
\b
Start with a model file; its framework is found from what is in it:
  trivet serve model.onnx
  trivet serve churn=models/churn/ fraud=models/fraud.cbm --port 8080

\b
Ask it, from another terminal:
  trivet predict http://localhost:8080 churn --input rows.jsonl
  curl localhost:8080/v1/models/churn:predict -d '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'

\b
Keep models and endpoints, and change what is served while it serves:
  trivet up
  trivet model upload fraud models/fraud.cbm --alias champion
  trivet endpoint create scoring
  trivet deploy fraud@champion --to scoring --traffic 100
  trivet traffic scoring fraud@1=50 fraud@2=50
  trivet status --watch

\b
Look at a model without serving it, and at the settings in force:
  trivet inspect models/churn/
  trivet config
"""


class Commands(click.Group):
    """Finds a command by its file, so that `--help` imports no model library and no server."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"trivet.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it refuses becomes one line on standard error and exit status 1."""
        from trivet.core.errors import ServingError

        try:
            return super().invoke(ctx)
        except ServingError as error:
            context = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
            raise click.ClickException(f"{context}{error}") from None


@click.group(cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trivet", message="trivet %(version)s")
def main() -> None:
    """Trivet turns trained models into services."""
    # what is left in the end goes with the process; to look through it once more takes a tenth of a second
    atexit.register(gc.freeze)


add_completion_class(JoinedBashComplete)


def warn(message: str) -> None:
    """Say something on standard error."""
    click.echo(message, err=True, color=sys.stderr.isatty())
