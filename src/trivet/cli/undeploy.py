"""`trivet undeploy`: serve a model at an endpoint no more."""

import click

from trivet.cli import find
from trivet.cli.completions import DeployedType, EndpointType
from trivet.cli.control import Control, asks
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
    begun = control.post(f"{at['name']}:undeployModel", {"deployedModelId": one["id"]})
    control.done(begun, f"Undeploying {called(one)} from {endpoint}")
    left = split(control.get(at["name"]))
    click.echo(
        f"{called(one)} is undeployed from {control.short(at['name'])}; "
        f"{f'traffic: {left}' if left else 'nothing is left there'}"
    )
