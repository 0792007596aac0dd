"""`trivet endpoint`: the addresses at which models are deployed."""

from typing import Any

import click

from trivet.cli import find
from trivet.cli.completions import EndpointType
from trivet.cli.control import Control, Json, asks, pairs
from trivet.cli.deployed import Served, shown, split, titled


@click.group()
def command() -> None:
    """Create, list, show and delete endpoints."""


@command.command("create")
@click.argument("name")
@click.option("--dedicated", is_flag=True, help="With a host name of its own, as SDKs see it.")
@click.option("--display-name", help="Name to show.  [default: NAME]")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="May repeat.")
@asks
def create(
    control: Control, *, name: str, dedicated: bool, display_name: str | None, labels: tuple[str, ...]
) -> None:
    """Create an endpoint, to deploy models at."""
    full = control.name("endpoints", name)
    body: Json = {"displayName": display_name or full.id, "labels": pairs(labels, "--label")}
    if dedicated:
        body["dedicatedEndpointEnabled"] = True
    begun = control.post(f"{full.parent}/endpoints", body, endpointId=full.id)
    control.done(begun, f"Creating {name}")
    click.echo(control.short(full))


@command.command("ls")
@click.option("--filter", "filter_", help='As `display_name="x" AND labels.team=a`.')
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@asks
def ls(control: Control, *, filter_: str | None, as_json: bool) -> None:
    """List endpoints, and what is deployed at each."""
    found = list(control.listed(f"{control.found.home}/endpoints", filter=filter_, pageSize=1000))
    from trivet.cli import drawn

    if as_json:
        drawn.print_json(found)
        return
    table = drawn.table("endpoint", "traffic", "created")
    for one in found:
        name = titled(control.short(one["name"]), one["displayName"])
        table.add_row(name, split(one) or "nothing deployed", drawn.ago(one["createTime"]))
    drawn.console().print(table)


@command.command("show")
@click.argument("endpoint", type=EndpointType())
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@asks
def show(control: Control, *, endpoint: str, as_json: bool) -> None:
    """Show an endpoint: its address, its models, their traffic and where they run."""
    from trivet.cli import drawn

    at = find.endpoint(control, endpoint)
    if as_json:
        drawn.print_json(at)
        return
    where = drawn.console()
    where.print(
        drawn.facts(
            {
                "endpoint": titled(control.short(at["name"]), at["displayName"]),
                "predict": f"{control.url}/v1/{at['name']}:predict",
                "kind": _kind(at),
                "labels": ", ".join(f"{key}={value}" for key, value in at.get("labels", {}).items()),
                "created": drawn.ago(at["createTime"]),
            }
        )
    )
    if at.get("deployedModels"):
        where.print()
        where.print(_deployed(control, at))


def _kind(at: Json) -> str:
    if at.get("network"):
        return f"private, in the network {at['network']}"
    if at.get("privateServiceConnectConfig"):
        return "private, by Private Service Connect"
    if at.get("dedicatedEndpointEnabled"):
        host = at.get("dedicatedEndpointDns")
        return f"dedicated, {host}" if host else "dedicated"
    return ""


def _deployed(control: Control, at: Json) -> Any:
    from trivet.cli import drawn

    table = drawn.table("model", "traffic", "runs", "framework", "deployed", "id")
    shares, served = at.get("trafficSplit", {}), Served(control)
    for one in sorted(at["deployedModels"], key=lambda one: -shares.get(one["id"], 0)):
        model = served.of(one)
        table.add_row(
            shown(one),
            drawn.bar(shares.get(one["id"], 0)),
            model["placement"]["where"] if model else "not ready",
            model["framework"] if model else "",
            drawn.ago(one["createTime"]),
            one["id"],
        )
    return table


@command.command("rm")
@click.argument("endpoint", type=EndpointType())
@click.option("--force", is_flag=True, help="Undeploy what is deployed there.")
@asks
def rm(control: Control, *, endpoint: str, force: bool) -> None:
    """Delete an endpoint."""
    at = find.endpoint(control, endpoint)
    begun = control.delete(at["name"], force="true" if force else "")
    control.done(begun, f"Deleting {endpoint}")
    click.echo(f"{control.short(at['name'])} is deleted")
