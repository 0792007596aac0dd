"""`trivet env`: how Google's SDKs find a server, as lines for a shell."""

import os
import shlex
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from trivet.cli import warn
from trivet.core.errors import FailedPrecondition
from trivet.core.resources import Location

if TYPE_CHECKING:
    from trivet.gateway.variables import Addresses, Mode

TOLD = {
    "plain": """
plain: REST over {address}, named in the script; no variable is needed.
  aiplatform.init(project="{project}", location="{location}", api_endpoint="{address}",
                  api_transport="rest", credentials=AnonymousCredentials())
Can do all but raw_predict, stream_raw_predict, predict_async, predictions of dedicated endpoints (the SDK
insists on https://) and stream_direct_predict (gRPC only). With trivet.connect("{address}")
instead of init, all but the last.
""",
    "tls": """
tls: gRPC, the SDK's default, and REST over {address}, named in the script.
  aiplatform.init(project="{project}", location="{location}", api_endpoint="{address}",
                  credentials=AnonymousCredentials())
Can do all but raw_predict and stream_raw_predict of endpoints that are not dedicated (the SDK asks Google's
host), and predict_async of those that are (it trusts public certificates alone).
""",
    "proxy": """
proxy: a script as it is, without an endpoint or credentials in it, also by `trivet run -- python script.py`.
Can do all but predict_async of dedicated endpoints. Every host below googleapis.com is answered by Trivet,
so set this for single commands.
""",
}

QUOTED: dict[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": lambda name, value: f"set -gx {name} {_fish(value)}",
    "powershell": lambda name, value: "$env:{} = '{}'".format(name, value.replace("'", "''")),
}


@click.command()
@click.option(
    "--mode",
    type=click.Choice([*TOLD, "all"]),
    default="all",
    show_default=True,
    help="The way to connect.",
)
@click.option("--shell", type=click.Choice(list(QUOTED)), default="sh", show_default=True)
@click.option("--data", metavar="FOLDER", help="Data folder of `trivet up`.  [default: .trivet]")
def command(mode: "Mode | str", shell: str, data: str | None) -> None:
    """Print how Google's SDKs connect to a server, and what each way can do.

    \b
    trivet env                                  shows all ways
    eval "$(trivet env --mode tls)"             sets the variables of one
    trivet run -- python script.py              the proxy, for one command

    Makes a certificate authority in the data folder, for this server alone, where there is none yet.
    """
    from trivet.gateway.authority import prepare
    from trivet.gateway.variables import MODES, variables

    place = find(data)
    addresses, project = place.addresses, place.home.project
    if not place.runs:
        left = f", its last one (process {place.gone}) is gone or does not answer" if place.gone else ""
        warn(f"No server runs in {place.folder}{left}: these are the addresses that `trivet up` would have.")
    authority = None
    for one in MODES if mode == "all" else [each for each in MODES if each == mode]:
        address = addresses.of(one)
        if not address:
            if mode != "all":
                raise unreachable(one)
            continue
        told = TOLD[one].strip().format(address=address, project=project, location=place.home.location)
        for line in told.splitlines():
            click.echo(f"# {line}")
        if one != "plain":
            authority = authority or prepare(place.folder, addresses.http, project=project)
            for name, value in variables(one, addresses, authority).items():
                click.echo(QUOTED[shell](name, value))
        click.echo()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server keeps its files and is found, and what plain names mean there.

    Of a server that does not run the addresses are those that it would have; `gone` is its process where it
    has said that it runs, and does not.
    """

    folder: Path
    addresses: "Addresses"
    home: Location
    runs: bool
    gone: int = 0


def find(data: str | None) -> Place:
    """Return the place of the server of a data folder."""
    from trivet import config
    from trivet.cli.control import look, usual
    from trivet.gateway.variables import Addresses

    settings = config.load({} if data is None else {"catalog.data": data})
    folder, found = Path(settings.catalog.data), look(data=data)()
    given = found.addresses
    if found.process and _lives(found.process) and not unanswered(given["http"]):
        addresses = Addresses(given["http"], given.get("tls", ""), given.get("proxy", ""))
        return Place(folder, addresses, found.home, runs=True)
    tls, proxy = settings.gateway.tls_port, settings.gateway.proxy_port
    usually = Addresses(
        usual(settings.server.port) if found.process else given["http"],
        f"{(settings.gateway.names or ('localhost',))[0]}:{tls or 8443}" if tls >= 0 else "",
        f"http://127.0.0.1:{proxy or 8081}" if proxy >= 0 and tls >= 0 else "",
    )
    return Place(folder, usually, found.home, runs=False, gone=found.process)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # it is somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


def unanswered(url: str) -> str:
    """Return why nobody answers at a URL; nothing if somebody does."""
    try:
        address = urlsplit(url)
        with closing(socket.create_connection((address.hostname or "", address.port or 80), timeout=5)):
            return ""
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def unreachable(mode: str) -> FailedPrecondition:
    """Return the error for a port that a server does not have."""
    return FailedPrecondition(f"the server has no {mode} port; start it with `trivet up --{mode}-port`")


def _fish(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
