"""`trivet traffic`: how an endpoint's requests are split among its models."""

from collections.abc import Sequence

import click

from trivet.cli import find
from trivet.cli.completions import EndpointType, ShareType
from trivet.cli.control import Control, Json, asks
from trivet.cli.deployed import shown
from trivet.core.errors import InvalidArgument

EPILOG = """
\b
  trivet traffic scoring                            shows the split
  trivet traffic scoring fraud@1=50 fraud@2=50      changes it: whoever is not named gets nothing
"""


@click.command(epilog=EPILOG)
@click.argument("endpoint", type=EndpointType())
@click.argument("shares", metavar="[MODEL=SHARE]...", nargs=-1, type=ShareType())
@asks
def command(control: Control, *, endpoint: str, shares: Sequence[str]) -> None:
    """Show or change the shares, in percent, that the models at ENDPOINT have of its requests."""
    at = find.endpoint(control, endpoint)
    if shares:
        split = _split(control, at, shares)
        at = control.patch(at["name"], {"trafficSplit": split}, updateMask="trafficSplit")
    _draw(at)


def _split(control: Control, at: Json, shares: Sequence[str]) -> dict[str, int]:
    """Return the whole split by deployed models' ids; raises InvalidArgument where it is not one."""
    split = {one["id"]: 0 for one in at.get("deployedModels", [])}
    given: set[str] = set()
    for text in shares:
        ref, _, share = text.rpartition("=")
        if not ref or not share.isdecimal() or int(share) > 100:
            raise InvalidArgument(f"{text!r}: expected MODEL=SHARE with a share from 0 to 100, as fraud@2=10")
        id_ = find.deployed(control, at, ref)["id"]
        if id_ in given:
            raise InvalidArgument(f"{ref}: given twice")
        given.add(id_)
        split[id_] = int(share)
    if (total := sum(split.values())) != 100:
        raise InvalidArgument(f"the shares sum to {total}; expected 100")
    return split


def _draw(at: Json) -> None:
    from trivet.cli import drawn

    table = drawn.table("model", "traffic", "id")
    shares = at.get("trafficSplit", {})
    for one in sorted(at.get("deployedModels", []), key=lambda one: -shares.get(one["id"], 0)):
        table.add_row(shown(one), drawn.bar(shares.get(one["id"], 0)), one["id"])
    if not table.rows:
        click.echo("nothing is deployed there")
        return
    drawn.console().print(table)
