"""`trivet run`: a command whose Google SDKs find Trivet where they expect Google."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

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

    It gets the variables that `trivet env --mode proxy` prints, and trusts whom it trusted before, too.
    Signals and its exit status are its own: it takes the place of this command.
    """
    from trivet.gateway.authority import joined, prepare
    from trivet.gateway.variables import TRUSTED, merged, variables

    place = find(data)
    addresses = place.addresses
    if not addresses.proxy:
        raise unreachable("proxy")
    if why := unanswered(addresses.proxy):  # libraries would try for minutes
        raise Unavailable(f"no proxy answers at {addresses.proxy}: {why}; start a server with `trivet up`")
    authority = prepare(place.folder, addresses.http, project=place.home.project)
    given = dict(os.environ)  # noqa: TID251 - handed on, and looked at for what is replaced
    wanted = variables("proxy", addresses, authority)
    replaced = [name for name, value in wanted.items() if given.get(name) and given[name] != value]
    if told := [name for name in replaced if name.lower() != "no_proxy"]:  # to which is added
        warn(f"Replaced for this command: {', '.join(told)}")
    others = [Path(given[name]) for name in TRUSTED if name in replaced]
    if bundle := joined(authority, _certificates(others)):
        wanted |= dict.fromkeys(TRUSTED, str(bundle))
    environment = merged(given, wanted)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores; the command may not
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command_line[0], command_line, environment)
    except OSError as error:
        warn(f"Error: {command_line[0]}: {error.strerror}")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)  # as shells have it


def _certificates(others: Iterable[Path]) -> Iterator[bytes]:
    """Yield what the files hold that were trusted until now, or those of a folder."""
    for other in dict.fromkeys(others):
        try:
            files = sorted(other.iterdir()) if other.is_dir() else [other]
            yield from (file.read_bytes() for file in files if file.is_file() or file == other)
        except OSError as error:
            warn(f"{other}: {error.strerror}; the certificates there are not trusted")
