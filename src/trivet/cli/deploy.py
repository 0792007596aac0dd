"""`trivet deploy`: serve a version of a model at an endpoint."""

import json
import sys
from typing import Any

import click

from trivet.cli import find, warn
from trivet.cli.completions import EndpointType, MachineType, ModelRefType
from trivet.cli.control import Control, Json, asks
from trivet.cli.deployed import Served, called, split
from trivet.core.errors import Aborted, InvalidArgument
from trivet.core.resources import Name

EPILOG = """
\b
  trivet deploy fraud@champion --to scoring                 the first model gets all of the traffic
  trivet deploy fraud@2 --to scoring                        and a further one none
  trivet deploy fraud@2 --to scoring --traffic 10           the others keep their proportions
  trivet deploy fraud@2 --to scoring --placement process --replicas 4
  trivet deploy chat --to scoring --machine-type n1-standard-4 --min-replicas 2 --max-replicas 8
"""


@click.command(epilog=EPILOG)
@click.argument("model", type=ModelRefType())
@click.option("--to", "endpoint", required=True, type=EndpointType(), help="The endpoint.")
@click.option("--traffic", type=click.IntRange(0, 100), help="Its share; the others keep their proportions.")
@click.option(
    "--replicas", type=click.IntRange(min=1), help="Processes or containers, where it runs in such."
)
@click.option(
    "--placement",
    type=click.Choice(["auto", "inline", "thread", "process"]),
    help="Where it runs.  [default: auto, as measured]",
)
@click.option("--max-rows", type=click.IntRange(min=1), help="Rows predicted together at most.")
@click.option(
    "--machine-type", type=MachineType(), help="Machine of Google's; bounds a container: containers.limit."
)
@click.option("--min-replicas", "least", type=click.IntRange(1), help="As many run; instead of --replicas.")
@click.option("--max-replicas", "most", type=click.IntRange(1), help="Kept for export; nothing scales here.")
@click.option("--pool", help="Deployment resource pool to run in; it has machine and replicas.")
@click.option("--display-name", help="Name to show.  [default: that of the model]")
@asks
def command(
    control: Control,
    *,
    model: str,
    endpoint: str,
    traffic: int | None,
    pool: str | None,
    display_name: str | None,
    **options: Any,
) -> None:
    """Deploy MODEL (NAME, NAME@VERSION or NAME@ALIAS) at an endpoint, and wait until it answers there."""
    dedicated = _dedicated(options)
    if dedicated and pool:
        raise InvalidArgument(
            "--pool: machine and replicas are the pool's; leave out --machine-type, --min-replicas and "
            "--max-replicas"
        )
    version = find.model(control, model)
    at = find.endpoint(control, endpoint)
    name = Name.parse(version["name"]).at(version["versionId"])
    deployed: Json = {"model": str(name), "displayName": display_name or version["displayName"]}
    keys = {"replicas": "replicas", "placement": "placement", "max_rows": "maxRows"}
    if own := {there: options[here] for here, there in keys.items() if options[here] is not None}:
        deployed["trivet"] = own
    if dedicated:
        deployed["dedicatedResources"] = dedicated
    if pool:
        deployed["sharedResources"] = str(control.name("deploymentResourcePools", pool))
    body: Json = {"deployedModel": deployed}
    if traffic is not None:
        body["trafficSplit"] = _split(at, endpoint, traffic)
    begun = control.post(f"{at['name']}:deployModel", body)
    slowly = _slowly(version)
    doing = f"Deploying {name.id}@{name.version} at {endpoint}{slowly}"
    if slowly and not sys.stderr.isatty():  # where nothing turns to show that it goes on
        warn(doing)
    done = control.done(begun, doing)
    _tell(control, control.get(at["name"]), done["deployedModel"]["id"], version)


def _dedicated(options: dict[str, Any]) -> Json:
    """Return `dedicatedResources`; empty where nothing of them is asked for."""
    machine, least, most, own = (options[name] for name in ("machine_type", "least", "most", "replicas"))
    if least and own:
        raise InvalidArgument(f"--min-replicas {least}: leave it out, as --replicas {own} says how many run")
    if not (machine or least or most):
        return {}
    least = least or own or 1
    if most and most < least:
        raise InvalidArgument(f"--max-replicas {most}: expected {least} or more, as many as run")
    made: Json = {"minReplicaCount": least}
    made |= {"maxReplicaCount": most} if most else {}
    return made | ({"machineSpec": {"machineType": machine}} if machine else {})


def _slowly(version: Json) -> str:
    """Return where to look while a container is being built, which may take minutes."""
    own = version.get("trivet", {}).get("runtime") == "container"
    return " (its container is built and started; the server's log tells of it)" if own else ""


def _split(at: Json, endpoint: str, share: int) -> dict[str, int]:
    """Return the whole split for a new model's share; raises InvalidArgument where nobody takes the rest."""
    from trivet.core.traffic import NEW, active, admit

    now = at.get("trafficSplit", {})
    if share < 100 and not active(now):
        raise InvalidArgument(
            f"--traffic {share}: no other model at {endpoint} has traffic, to take the rest; "
            "give 100, or leave it out"
        )
    return admit(now, NEW, share)


def _tell(control: Control, at: Json, id_: str, version: Json) -> None:
    """Say what now answers, where it runs and how to call it."""
    one = next((one for one in at.get("deployedModels", []) if one["id"] == id_), None)
    if one is None:
        raise Aborted(f"deployed model {id_} was undeployed again by somebody else")
    served, where = Served(control).of(one), control.short(at["name"])
    click.echo(f"{called(one)} is deployed at {where} as {id_}")
    if served:
        click.echo(f"runs:    {served['placement']['where']}: {served['placement']['reason']}")
    click.echo(f"traffic: {split(at)}")
    if at.get("trafficSplit", {}).get(id_):
        click.echo(f"\n  {_call(control, at, served, version.get('containerSpec', {}))}")
    else:
        twice = [called(other) for other in at["deployedModels"]].count(called(one)) > 1
        ref = id_ if twice else called(one)
        click.echo(f"\nIt gets no traffic yet: `trivet traffic {where} {ref}=100` gives it all")


def _call(control: Control, at: Json, served: Json | None, container: Json) -> str:
    """Return a command that asks the endpoint for a prediction, or a container for one of its own paths."""
    if prefix := container.get("invokeRoutePrefix"):
        path = container.get("healthRoute") or f"{prefix.removesuffix('*')}..."
        return f"curl {control.url}/v1/{at['name']}/invoke{path}"
    example = served["example"] if served else {"instances": []}
    quoted = json.dumps(example, separators=(",", ":")).replace("'", r"'\''")
    return f"curl {control.url}/v1/{at['name']}:predict -d '{quoted}'"
