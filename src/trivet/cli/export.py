"""`trivet export`: what is needed to run a model on another platform."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from trivet.cli import warn
from trivet.cli.completions import AnyModelType, EndpointType
from trivet.core.errors import InvalidArgument, NotFound
from trivet.platforms.registry import NAMES

if TYPE_CHECKING:
    from trivet.app.exports import Exported
    from trivet.cli.batch_here import Here
    from trivet.platforms.base import Bundle, Wanted
    from trivet.platforms.schemas import Checked

EPILOG = """
\b
MODEL is a registered model (fraud, fraud@2, fraud@champion), or [NAME[@VERSION]=][FRAMEWORK:]PATH as
`trivet serve` takes it; a folder with a Dockerfile or Procfile is an application:
  trivet export compose models/fraud.cbm --output out/
  trivet export cloud-run fraud@champion --gcp-project my-project --min 0 --output out/
  trivet export gke --endpoint scoring --image europe-docker.pkg.dev/my-project/models/scoring --output out/
  trivet export vertex ./my-predictor --gcp-project my-project --output out/

\b
The folder gets a README.md that says how to build, deploy and ask it, and who needs which rights.
"""


@click.command(epilog=EPILOG)
@click.argument("platform", type=click.Choice(NAMES))
@click.argument("model", type=AnyModelType(), required=False)
@click.option("--output", required=True, metavar="FOLDER", help="Folder to write; empty, or not there yet.")
@click.option("--endpoint", type=EndpointType(), help="Export all that has traffic there, with its split.")
@click.option("--name", help="What the service is called.  [default: that of the model or endpoint]")
@click.option("--image", metavar="NAME", help="Repository of the images.  [default: by --gcp-project]")
@click.option("--gcp-project", help="Google Cloud project.")
@click.option("--region", default="us-central1", show_default=True, help="Google Cloud region.")
@click.option("--namespace", default="default", show_default=True, help="Namespace on Kubernetes.")
@click.option("--storage", metavar="URI", help="gs:// folder for the models' files.  [default: in the image]")
@click.option("--service-account", metavar="EMAIL", help="Google service account that it runs as.")
@click.option("--cpu", type=click.FloatRange(0, min_open=True), help="CPUs of a replica.  [default: 2]")
@click.option("--memory", metavar="SIZE", help="Memory of a replica, as 512Mi or 8Gi.  [default: 4Gi]")
@click.option("--gpus", type=click.IntRange(0), help="GPUs of a replica.")
@click.option("--gpu-type", default="nvidia-l4", show_default=True, help="Which GPUs.")
@click.option("--machine-type", metavar="TYPE", help="Machines on Vertex AI.  [default: n1-standard-4]")
@click.option(
    "--min", "least", type=click.IntRange(0), help="Replicas at least.  [default: 0 on Cloud Run, 1]"
)
@click.option("--max", "most", type=click.IntRange(1), help="Replicas at most.  [default: 5]")
@click.option(
    "--concurrency", type=click.IntRange(1), default=80, show_default=True, help="Requests at once."
)
@click.option("--cpu-target", type=click.IntRange(1, 100), default=60, show_default=True, help="Percent.")
@click.option("--timeout", type=click.IntRange(1), default=300, show_default=True, help="Seconds.")
@click.option("--public", is_flag=True, help="Let everyone ask, from everywhere, without a token.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="Variable; may repeat.")
@click.option("--allow-pickle", is_flag=True, help="Load pickles there: they run code.")
@click.option("--base-image", metavar="NAME", help="What Trivet's image begins from.  [default: python slim]")
@click.option("--install", metavar="WHAT", help="Trivet as pip takes it, a wheel, or `none`.")
@click.option("--data", metavar="FOLDER", help="Data folder with registered models.  [default: .trivet]")
@click.option("--project", help="Project of plain names.  [default: local]")
@click.option("--location", help="Location of plain names.  [default: us-central1]")
def command(platform: str, model: str | None, output: str, endpoint: str | None, **given: Any) -> None:
    """Write what is needed to run MODEL, or what an endpoint serves, on another platform.

    Images, manifests with probes, resources, autoscaling and traffic split, a script that deploys them, and
    notes. Documents are checked against the platforms' schemas where `trivet[export]` has them.
    """
    from trivet.app.exports import refuse_pickles
    from trivet.platforms import registry, schemas, writing
    from trivet.platforms.asked import check

    if (model is None) == (endpoint is None):
        raise InvalidArgument("expected what to export: either MODEL or --endpoint")
    there = registry.platform(platform)
    with _exported(model, endpoint, given) as exported:
        if not given["allow_pickle"]:
            refuse_pickles(exported.versions)
        wanted = _wanted(platform, exported, given, least=there.least)
        check(wanted)
        bundle = there.bundle(wanted)
        checked = schemas.check(bundle)
        writing.write(bundle, Path(output))
    _tell(Path(output), bundle, checked)
    click.echo(f"\nThis is what {there.title} needs; {Path(output) / 'README.md'} says how to go on")


@contextmanager
def _exported(model: str | None, endpoint: str | None, given: dict[str, Any]) -> "Iterator[Exported]":
    """Give what is exported; files that had to be fetched are there meanwhile."""
    from trivet.cli.batch_asked import is_name
    from trivet.cli.batch_here import Here, settings

    where = [given.pop(name) for name in ("data", "project", "location")]
    with Here(lambda: settings(*where)) as here, TemporaryDirectory(prefix="trivet-") as scratch:
        if model is not None and not is_name(model):
            yield _local(model, Path(scratch))
            return
        try:
            found = _registered(here, model, endpoint)
        except (NotFound, InvalidArgument) as error:
            if model is None:
                raise
            if not Path(model).exists():
                raise NotFound(
                    f"{str(error).rstrip('.')}; nor is there a file or folder of that name"
                ) from None
            found = _local(model, Path(scratch))
        yield found


def _registered(here: "Here", model: str | None, endpoint: str | None) -> "Exported":
    from trivet.app.exports import of_endpoint, of_model
    from trivet.core.resources import Name

    if not here.exists():
        raise NotFound(f"{model or endpoint}: there is no catalog here; say which folder with --data")
    if model is not None:
        return of_model(here.place, Name.parse(here.model(model), "models"))
    assert endpoint is not None
    return of_endpoint(here.place, here.home, endpoint)


def _local(text: str, scratch: Path) -> "Exported":
    """Return the model at a path or URI."""
    from trivet import storage
    from trivet.app.exports import Exported, routed
    from trivet.cli.models import parse
    from trivet.control.containers import OWN
    from trivet.core.containers import ContainerSpec
    from trivet.core.names import ModelRef
    from trivet.platforms.base import Version
    from trivet.runtimes.registry import detect

    name, framework, path = parse(text)
    ref = ModelRef.parse(name)
    if not path:
        return Exported(ref.name, (Version(ref.name, ref.version, framework=framework, named=True),))
    local = storage.fetch(path, scratch)
    found = framework or detect(local)[0]
    if found == OWN:
        own = routed(ContainerSpec(folder=local.absolute(), predict_route="", health_route=""))
        version = Version(ref.name, ref.version, framework=found, container=own)
    else:
        version = Version(ref.name, ref.version, files=local, framework=found, named=bool(framework))
    return Exported(ref.name, (version,))


def _wanted(platform: str, exported: "Exported", given: dict[str, Any], *, least: int) -> "Wanted":
    """Return what the options ask for; what they leave out is as it was deployed."""
    from trivet.cli.control import pairs
    from trivet.control.machines import size
    from trivet.platforms.base import CPUS, MEMORY, MOST, Wanted, service_name

    name = given["name"] or service_name(exported.name)
    cpus, memory = size(given["machine_type"] or exported.machine_type)
    project = given["gcp_project"] or ""
    fewest = exported.least or least if given["least"] is None else given["least"]
    return Wanted(
        name=name,
        versions=exported.versions,
        image=given["image"] or _repository(platform, project, given["region"], name),
        project=project,
        region=given["region"],
        namespace=given["namespace"],
        storage=(given["storage"] or "").rstrip("/"),
        service_account=given["service_account"] or "",
        cpus=given["cpu"] or cpus or CPUS,
        memory=_mib(given["memory"]) if given["memory"] else memory >> 20 or MEMORY,
        gpus=exported.gpus if given["gpus"] is None else given["gpus"],
        gpu_type=given["gpu_type"],
        machine_type=given["machine_type"] or exported.machine_type,
        least=fewest,
        most=given["most"] or max(exported.most or MOST, fewest),
        concurrency=given["concurrency"],
        cpu_target=given["cpu_target"],
        timeout=given["timeout"],
        public=given["public"],
        env=tuple(pairs(given["variables"], "--env").items()),
        allow_pickle=given["allow_pickle"],
        base_image=given["base_image"] or "",
        install=given["install"] or "",
    )


def _repository(platform: str, project: str, region: str, name: str) -> str:
    """Return where images go when nobody says; empty where that cannot be known."""
    if platform == "compose":
        return f"localhost/{name}"
    return f"{region}-docker.pkg.dev/{project}/trivet/{name}" if project else ""


def _mib(text: str) -> int:
    number, unit = text[:-2], text[-2:]
    if unit not in ("Mi", "Gi") or not number.isdigit() or int(number) == 0:
        raise InvalidArgument(f"--memory {text!r}: expected a whole number of Mi or Gi, as 512Mi or 8Gi")
    return int(number) * (1024 if unit == "Gi" else 1)


def _tell(folder: Path, bundle: "Bundle", checked: "Checked") -> None:
    for path in sorted({*bundle.texts, *bundle.documents}):
        by = checked.by.get(path)
        click.echo(f"{folder / path}" + (f"  (checked against {by})" if by else ""))
    for why, kinds in checked.left.items():
        warn(f"Not checked: {', '.join(kinds)}: {why}")
