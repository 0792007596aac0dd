"""`trivet container`: applications that are models, begun from a template, tried and checked."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from trivet.cli import threads, warn
from trivet.cli.image import ImageType
from trivet.core.errors import InvalidArgument

if TYPE_CHECKING:
    from trivet.containers.started import Started

TEMPLATES = {
    "fastapi": ("common", "fastapi"),
    "flask": ("common", "flask"),
    "catboost": ("common", "fastapi", "catboost"),
}
"""The folders of `templates/` that make up each, laid over one another."""

_BAD = 1  # exit status of `check` where something is wrong


@click.group()
def command() -> None:
    """Begin, try and check prediction containers of your own, and remove what was built for them."""


@command.command("init")
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
@click.option("--template", type=click.Choice(list(TEMPLATES)), default="fastapi", show_default=True)
def init(folder: Path, template: str) -> None:
    """Write an application that keeps the contract, into the new folder NAME.

    It runs as it is; app/model.py is the model, for you to replace.
    """
    write(template, folder)
    click.echo(f"{folder} is written: put your model into {folder}/app/model.py\n")
    click.echo(f"  trivet container check {folder}")
    click.echo(f"  trivet serve {folder}")
    click.echo(f"\n{folder}/README.md tells more.")


def write(template: str, folder: Path) -> None:
    """Write the files of a template; raises InvalidArgument where there is something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidArgument(f"{folder} is not empty; expected the name of a new folder")
    templates = Path(__file__).parent / "templates"
    files = {
        file.relative_to(templates / layer): file
        for layer in TEMPLATES[template]
        for file in sorted((templates / layer).rglob("*"))
        if file.is_file() and file.suffix != ".pyc"
    }
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file.read_bytes())


def _tried(function: Callable[..., None]) -> Callable[..., None]:
    """Add what says which application is started, and with what."""
    for add in (
        click.option(
            "--start-timeout",
            type=click.FloatRange(min=1),
            help="Seconds until it must be well.  [default: 600]",
        ),
        click.option("--health-route", metavar="PATH", default="", help="[default: as a deployment has it]"),
        click.option("--predict-route", metavar="PATH", default="", help="[default: as a deployment has it]"),
        click.option("--files", metavar="PATH_OR_URI", help="The model's files, for AIP_STORAGE_URI."),
        click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable of it; may repeat."),
        click.argument("image", metavar="FOLDER_OR_IMAGE", type=ImageType()),
    ):
        function = add(function)
    return function


@command.command("run")
@_tried
def run(**given: Any) -> None:
    """Run an application by itself, and show its log.

    It gets the variables of the contract, and ends with Ctrl-C. `trivet serve` runs it as a model.
    """
    import threading

    over = threading.Event()
    with _started(**given) as started:
        spec = started.spec
        address = f"http://127.0.0.1:{started.port()}"
        warn(f"It is well. Stop it with Ctrl-C.\n\n  curl {address}{spec.health_route}")
        warn(f"  curl {address}{spec.predict_route} -d '{{\"instances\": [...]}}'\n")
        started.watch(lambda state: over.set() if state.over else None)
        over.wait()
        reason = started.state.reason
    raise click.ClickException(reason)


@command.command("check")
@_tried
@click.option("--input", "source", type=click.File("r"), help="JSON Lines: instances that it can answer.")
@click.option("--instance", "-i", "one", multiple=True, help="Such an instance as JSON; may repeat.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds for one request.")
@click.option("--log", "shown", is_flag=True, help="Show what the application prints.")
def check(source: IO[str] | None, one: tuple[str, ...], timeout: float, shown: bool, **given: Any) -> None:
    """Start an application, ask it as Trivet would, and say what is wrong.

    Without instances of yours it is asked for values of every JSON shape. The exit status is 1 where
    something is wrong; what is marked with a question mark is only worth a look.
    """
    from time import perf_counter

    from trivet.cli.container_check import Asked, Finding, checks

    instances = [*_instances(one, "--instance"), *_instances(source or (), "--input")]
    wrong = False

    def tell(finding: Finding) -> None:
        nonlocal wrong
        wrong = wrong or finding.mark == "wrong"
        click.echo(f"{finding.mark:<5}  {finding.text}")

    since = perf_counter()
    with _started(quiet=not shown, **given) as started:
        tell(Finding("ok", f"started, and well, after {perf_counter() - since:.1f} s"))
        for finding in checks(Asked(started.port(), started.spec, timeout), instances):
            tell(finding)
        if started.state.over:
            tell(Finding("wrong", started.state.reason))
        since = perf_counter()
    ended = perf_counter() - since
    slow = Finding("?", f"took {ended:.1f} s to end after SIGTERM; it is killed after 5 s")
    tell(slow if ended > 4 else Finding("ok", f"ends within {ended:.1f} s of SIGTERM"))
    sys.exit(_BAD if wrong else 0)


@command.command("prune")
@click.option(
    "--unused-for",
    "days",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=30,
    show_default=True,
    help="Remove what was not used for so long; 0 for all that nothing runs from.",
)
@click.option("--dry-run", is_flag=True, help="Only show what there is, and what would be removed.")
def prune(days: float, dry_run: bool) -> None:
    """Remove images and virtual environments that Trivet has built from folders.

    What an application runs from stays. What is removed is built again when it is needed: a model whose
    container is not running may take minutes to be deployed, and needs the network.
    """
    from time import time

    from trivet import config
    from trivet.app.models import containers_of
    from trivet.cli import drawn
    from trivet.containers.registry import engines

    settings = containers_of(config.load())
    named = [one for name, one in engines().items() if settings.engine in {"auto", name} and not one.lacks()]
    shown, removed = drawn.table("ENGINE", "BUILT", "STARTED", ">SIZE", ""), []
    for engine in named:
        for kept in engine.kept(settings.cache):
            idle, said = time() - kept.used, "runs" if kept.running else "kept"
            if not kept.running and idle >= days * 86400:
                said = "would be removed" if dry_run else "removed" if kept.remove() else "is used again"
            if "removed" in said:
                removed.append(kept.size)
            size = f"{kept.size / 1e6:,.0f} MB"
            shown.add_row(engine.name, kept.name, f"{drawn.span(idle)} ago", size, said)
    if shown.row_count:
        drawn.console().print(shown)
    of = f"{len(removed)} of {shown.row_count}{' would be' if dry_run else ''} removed"
    click.echo(f"{of}, {sum(removed) / 1e6:,.0f} MB")


def _instances(texts: Any, option: str) -> Iterator[Any]:
    import json

    for number, text in enumerate(texts, 1):
        try:
            yield json.loads(text)
        except ValueError as error:
            raise InvalidArgument(f"{option}, line {number}: not valid JSON: {error}") from None


@contextmanager
def _started(
    *,
    image: str,
    env: tuple[str, ...],
    files: str | None,
    start_timeout: float | None,
    quiet: bool = False,
    **routes: str,
) -> Iterator["Started"]:
    """Start an application, as a deployment would, and end it in the end, whatever ends this."""
    threads.keep_to_one()
    from tempfile import TemporaryDirectory

    from trivet import config, storage
    from trivet.app.models import containers_of
    from trivet.cli.control import pairs
    from trivet.containers.started import Started
    from trivet.control.containers import At, ready
    from trivet.core.containers import ContainerSpec

    settings = config.load()
    own = containers_of(settings)
    folder = Path(image).absolute() if Path(image).is_dir() else None
    spec = ContainerSpec(
        image="" if folder else image,
        folder=folder,
        env=tuple(pairs(env, "--env").items()),
        artifact_uri=files if files and files.startswith("gs://") else "",
        start_timeout=start_timeout or 0,  # 0: that of the settings
        predict_route=routes["predict_route"],
        health_route=routes["health_route"],
    )
    _show(quiet=quiet)
    if quiet and sys.stderr.isatty():
        warn(f"Building and starting {image} ...")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="trivet-") as scratch:
        local = storage.fetch(files, Path(scratch)).absolute() if files else None
        started = Started(ready(spec, own, At("local", "1", "2")), local)
        try:
            yield started
        finally:
            started.close()


def _show(*, quiet: bool) -> None:
    """Have what is logged, which is what the application prints, on standard error as it is."""
    import logging

    log = logging.getLogger("trivet")
    log.handlers = [logging.StreamHandler()]
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
