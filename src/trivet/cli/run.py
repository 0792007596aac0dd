"""`trivet run`: a command whose Google SDKs find Trivet where they expect Google."""

import os
import signal
import sys

import click

from trivet.cli import warn
from trivet.cli.env import find, unanswered, unreachable
from trivet.core.errors import Unavailable


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--data", metavar="FOLDER", help="Data folder of `trivet up`.  [default: .trivet]")
@click.argument("command_line", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(command_line: tuple[str, ...], data: str | None) -> None:
    """Run COMMAND so that its Google SDKs use Trivet, without a change to it.

    \b
    trivet run -- python train_and_deploy.py

    It gets the variables that `trivet env --mode proxy` prints. Signals and its exit status are its own: it
    takes the place of this command.
    """
    from trivet.gateway.authority import prepare
    from trivet.gateway.variables import merged, variables

    place = find(data)
    addresses = place.addresses
    if not addresses.proxy:
        raise unreachable("proxy")
    if why := unanswered(addresses.proxy):  # libraries would try for minutes
        raise Unavailable(f"no proxy answers at {addresses.proxy}: {why}; start a server with `trivet up`")
    authority = prepare(place.folder, addresses.http, project=place.home.project)
    wanted = variables("proxy", addresses, authority)
    environment = merged(os.environ, wanted)  # noqa: TID251 - handed on, not read
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores; the command may not
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command_line[0], command_line, environment)
    except OSError as error:
        warn(f"Error: {command_line[0]}: {error.strerror}")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)  # as shells have it
