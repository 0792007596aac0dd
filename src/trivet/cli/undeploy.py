"""`trivet undeploy`: serve a model at an endpoint no more."""

import click

from trivet.cli import find
from trivet.cli.completions import DeployedType, EndpointType
from trivet.cli.control import Control, Json, asks
from trivet.cli.deployed import called, split


@click.command()
@click.argument("model", type=DeployedType())
@click.option("--from", "endpoint", required=True, type=EndpointType(), help="The endpoint.")
@asks
def command(control: Control, *, model: str, endpoint: str) -> None:
    """Take MODEL (as NAME@VERSION, or the deployed model's id) away from an endpoint.

    The others there keep their proportions of the traffic. Requests under way are still answered.
    """
    at = find.endpoint(control, endpoint)
    one = find.deployed(control, at, model)
    body: Json = {"deployedModelId": one["id"]}
    if left := _left(at, one["id"]):
        body["trafficSplit"] = left
    begun = control.post(f"{at['name']}:undeployModel", body)
    control.done(begun, f"Undeploying {called(one)} from {endpoint}")
    told = split(control.get(at["name"]))
    click.echo(
        f"{called(one)} is undeployed from {control.short(at['name'])}; "
        f"{f'traffic: {told}' if told else 'nothing is left there'}"
    )


def _left(at: Json, id_: str) -> dict[str, int]:
    """Return the split in which the others have the share of a model; empty where it has none to give.

    Raises FailedPrecondition where it has all the traffic and is not the last.
    """
    from trivet.core.traffic import withdraw

    now = at.get("trafficSplit", {})
    if not now.get(id_):
        return {}  # so that nobody's change of the traffic is undone
    return withdraw(now, id_, [one["id"] for one in at["deployedModels"] if one["id"] != id_])
