"""`trivet model`: the models that a server keeps, and their versions."""

from itertools import islice
from pathlib import Path
from typing import Any

import click

from trivet.cli import find, image
from trivet.cli.completions import ModelRefType
from trivet.cli.control import Control, Json, asks, pairs
from trivet.cli.deployed import titled
from trivet.cli.models import ModelType
from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.resources import Name

_LISTED = 50


@click.group()
def command() -> None:
    """Upload, list, show, alias, copy and delete models."""


@command.command("upload")
@click.argument("name")
@click.argument("path", metavar="[PATH_OR_URI]", required=False, type=ModelType())
@click.option("--alias", "aliases", multiple=True, help="A name for this version, as champion; may repeat.")
@image.options
@click.option("--framework", help="Framework of the files.  [default: found from what is in them]")
@click.option("--display-name", help="Name to show.  [default: that of the version before, or NAME]")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="May repeat.")
@click.option("--default/--no-default", default=True, help="Whether NAME alone means this version.")
@asks
def upload(
    control: Control,
    *,
    name: str,
    path: str | None,
    aliases: tuple[str, ...],
    display_name: str | None,
    **given: Any,
) -> None:
    """Upload the model at PATH_OR_URI (a file, a folder, gs:// or s3://) as NAME.

    The server copies it. Where there is a model of that name, this is its next version. A framework that
    needs no files, as `--framework echo`, needs no PATH_OR_URI, nor does a container of its own: an
    application that is given by --image.
    """
    full = control.name("models", name)
    if full.version:
        raise InvalidArgument(f"{name}: expected a name alone; the server numbers the versions")
    before = _existing(control, full)
    model: Json = {
        "displayName": display_name or (before["displayName"] if before else full.id),
        "versionAliases": list(dict.fromkeys([*aliases, *(["default"] if given["default"] else [])])),
        "labels": pairs(given["labels"], "--label"),
    }
    if path:
        model["artifactUri"] = path if "://" in path else str(Path(path).absolute())
    if container := image.spec(given):
        model["containerSpec"] = container
    if given["framework"]:
        model["trivet"] = {"framework": given["framework"]}
    to = {"parentModel": str(full)} if before else {"modelId": full.id}
    begun = control.post(f"{full.parent}/models:upload", {"model": model, **to})
    _tell(control, control.done(begun, f"Uploading {path or given['image'] or name}"))


def _existing(control: Control, name: Name) -> Json | None:
    try:
        return control.get(str(name))
    except NotFound:
        return None


def _tell(control: Control, done: Json) -> None:
    """Print the version that an upload or a copy has made."""
    version = control.get(str(Name.parse(done["model"]).at(done["modelVersionId"])))
    click.echo(_called(control, version))


def _called(control: Control, version: Json) -> str:
    name = control.short(Name.parse(version["name"]).at(version["versionId"]))
    aliases = ", ".join(version.get("versionAliases", []))
    return f"{name} ({aliases})" if aliases else name


@command.command("ls")
@click.option("--filter", "filter_", help='As `display_name="x" AND labels.team=a`.')
@click.option("--all", "all_", is_flag=True, help=f"More than the newest {_LISTED}.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON.")
@asks
def ls(control: Control, *, filter_: str | None, all_: bool, as_json: bool) -> None:
    """List models, the newest first."""
    from trivet.cli import drawn

    few = not (all_ or as_json)
    size = _LISTED + 1 if few else 1000
    models = control.listed(f"{control.found.home}/models", filter=filter_, pageSize=size)
    found = list(islice(models, size) if few else models)
    if as_json:
        drawn.print_json(found)
        return
    shown = found[:_LISTED] if few else found
    table = drawn.table("model", ">versions", "aliases", "framework", "created")
    for one in shown:
        versions = list(control.listed(f"{one['name']}:listVersions", pageSize=1000))
        table.add_row(
            titled(control.short(one["name"]), one["displayName"]),
            str(len(versions)),
            _aliases(versions),
            _runtime(one),
            drawn.ago(one["createTime"]),
        )
    drawn.console().print(table)
    if len(found) > len(shown):
        click.echo(f"\nThese are the newest {_LISTED}; --all shows every one")


def _aliases(versions: list[Json]) -> str:
    """Return which aliases a model has and what for: `champion 2, default 3`."""
    told = {alias: one["versionId"] for one in versions for alias in one.get("versionAliases", [])}
    return ", ".join(f"{alias} {version}" for alias, version in sorted(told.items()))


def _runtime(model: Json) -> str:
    """Return the runtime that the server has found, or was told."""
    return str(model.get("trivet", {}).get("runtime") or "-")


@command.command("show")
@click.argument("model", type=ModelRefType())
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@asks
def show(control: Control, *, model: str, as_json: bool) -> None:
    """Show MODEL (NAME, NAME@VERSION or NAME@ALIAS), its versions and where it is deployed."""
    from trivet.cli import drawn

    one = find.model(control, model)
    name = Name.parse(one["name"]).at("")
    versions = list(control.listed(f"{name}:listVersions", pageSize=1000))
    if as_json:
        drawn.print_json({**one, "versions": versions})
        return
    where = drawn.console()
    where.print(
        drawn.facts(
            {
                "model": _called(control, one),
                "display name": one["displayName"] if one["displayName"] != name.id else "",
                "description": one.get("description", ""),
                "framework": _runtime(one),
                **image.facts(one.get("containerSpec", {})),
                "copied from": one.get("artifactUri", ""),
                "labels": ", ".join(f"{key}={value}" for key, value in one.get("labels", {}).items()),
                "deployed at": _deployed(control, one),
            }
        )
    )
    where.print()
    table = drawn.table("version", "aliases", "created", "copied from")
    for version in versions:
        table.add_row(
            version["versionId"],
            ", ".join(version.get("versionAliases", [])),
            drawn.ago(version["versionCreateTime"]),
            version.get("artifactUri", ""),
        )
    where.print(table)


def _deployed(control: Control, model: Json) -> str:
    name = Name.parse(model["name"]).at("")
    at = [
        control.short(endpoint["name"])
        for endpoint in control.listed(f"{name.parent}/endpoints", pageSize=1000)
        for one in endpoint.get("deployedModels", [])
        if (one["model"], one["modelVersionId"]) == (str(name), model["versionId"])
    ]
    return ", ".join(dict.fromkeys(at))


@command.command("alias", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("model", type=ModelRefType())
@click.argument("changes", nargs=-1, required=True, metavar="+ALIAS|-ALIAS...", type=click.UNPROCESSED)
@asks
def alias(control: Control, *, model: str, changes: tuple[str, ...]) -> None:
    """Give aliases to a version (+champion), or take them away (-challenger).

    An alias that another version of MODEL has moves. `default` is what NAME alone means.
    """
    one = find.model(control, model)
    name = Name.parse(one["name"]).at(one["versionId"])
    changed = [text.removeprefix("+") for text in changes]
    updated = control.post(f"{name}:mergeVersionAliases", {"versionAliases": changed})
    click.echo(_called(control, updated))


@command.command("copy")
@click.argument("model", type=ModelRefType())
@click.argument("name")
@asks
def copy(control: Control, *, model: str, name: str) -> None:
    """Copy a version of MODEL to NAME, which may be in another project: projects/P/locations/L/models/M.

    Where there is a model of that name, the copy is its next version.
    """
    one = find.model(control, model)
    source = Name.parse(one["name"]).at(one["versionId"])
    to = control.name("models", name)
    target = {"parentModel": str(to)} if _existing(control, to) else {"modelId": to.id}
    begun = control.post(f"{to.parent}/models:copy", {"sourceModel": str(source), **target})
    _tell(control, control.done(begun, f"Copying {model}"))


@command.command("rm")
@click.argument("model", type=ModelRefType())
@asks
def rm(control: Control, *, model: str) -> None:
    """Delete MODEL with all its versions, or one: NAME@VERSION or NAME@ALIAS."""
    one = find.model(control, model)
    name = Name.parse(one["name"]).at(one["versionId"] if "@" in model else "")
    begun = control.delete(f"{name}:deleteVersion" if name.version else str(name))
    control.done(begun, f"Deleting {model}")
    click.echo(f"{control.short(name)} is deleted")
