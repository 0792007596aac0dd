"""`trivet env`: how Google's SDKs find a server, as lines for a shell."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trivet.cli import warn
from trivet.core.errors import FailedPrecondition

if TYPE_CHECKING:
    from trivet.gateway.variables import Addresses, Mode

TOLD = {
    "plain": """
plain: REST over {address}, named in the script; no variable is needed.
  aiplatform.init(project="local", location="us-central1", api_endpoint="{address}",
                  api_transport="rest", credentials=AnonymousCredentials())
Can do all but raw_predict, stream_raw_predict, predict_async, predictions of dedicated endpoints (the SDK
insists on https://) and stream_direct_predict (gRPC only). With trivet.connect("{address}")
instead of init, all but the last.
""",
    "tls": """
tls: gRPC, the SDK's default, and REST over {address}, named in the script.
  aiplatform.init(project="local", location="us-central1", api_endpoint="{address}",
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

    folder, addresses, runs = find(data)
    if not runs:
        warn(f"No server runs in {folder}: these are the addresses that `trivet up` would have.")
    authority = None
    for one in MODES if mode == "all" else [each for each in MODES if each == mode]:
        address = addresses.of(one)
        if not address:
            if mode != "all":
                raise unreachable(one)
            continue
        for line in TOLD[one].strip().format(address=address).splitlines():
            click.echo(f"# {line}")
        if one != "plain":
            authority = authority or prepare(folder, addresses.http)
            for name, value in variables(one, addresses, authority).items():
                click.echo(QUOTED[shell](name, value))
        click.echo()


def find(data: str | None) -> tuple[Path, "Addresses", bool]:
    """Return the data folder, the addresses of its server, and whether that runs.

    Of a server that does not run they are those of the settings.
    """
    from trivet import config
    from trivet.cli.control import look
    from trivet.gateway.variables import Addresses

    settings = config.load({} if data is None else {"catalog.data": data})
    folder, found = Path(settings.catalog.data), look(data=data)()
    if found.process:
        given = found.addresses
        return folder, Addresses(given["http"], given.get("tls", ""), given.get("proxy", "")), True
    tls, proxy = settings.gateway.tls_port, settings.gateway.proxy_port
    return (
        folder,
        Addresses(
            found.addresses["http"],
            f"localhost:{tls or 8443}" if tls >= 0 else "",
            f"http://127.0.0.1:{proxy or 8081}" if proxy >= 0 and tls >= 0 else "",
        ),
        False,
    )


def unreachable(mode: str) -> FailedPrecondition:
    """Return the error for a port that a server does not have."""
    return FailedPrecondition(f"the server has no {mode} port; start it with `trivet up --{mode}-port`")


def _fish(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
