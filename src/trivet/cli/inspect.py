"""`trivet inspect`: what a model is, without serving it."""

import json
from typing import TYPE_CHECKING

import click

from trivet.cli import threads
from trivet.cli.models import ModelType, parse

if TYPE_CHECKING:
    from trivet.serving.lifecycle import ModelInfo


@click.command()
@click.argument("model", type=ModelType())
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--trust-type", multiple=True, help="Trust a type in skops files; may repeat.")
@click.option("--allow-pickle", is_flag=True, help="Load pickles: they run code.")
@click.option("--allow-python", is_flag=True, help="Run Python predictors.")
@click.option("--allow-containers", is_flag=True, help="Build and start applications.")
def command(
    model: str,
    as_json: bool,
    trust_type: tuple[str, ...],
    allow_pickle: bool,
    allow_python: bool,
    allow_containers: bool,
) -> None:
    """Show a model's framework, signature, size, where it would run, and an example request.

    MODEL is [FRAMEWORK:]PATH. Nothing of the model's own code runs unless you allow it.
    """
    threads.keep_to_one()
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from trivet import config, storage
    from trivet.app.models import spec, with_container
    from trivet.core.predictor import Closing
    from trivet.runtimes.base import Permissions
    from trivet.serving.batching import BatchLimits
    from trivet.serving.lifecycle import load
    from trivet.settings import Model

    name, framework, path = parse(model)
    permissions = Permissions(allow_pickle, allow_python, trust_type, allow_containers)
    with TemporaryDirectory(prefix="trivet-") as scratch:
        local = storage.fetch(path, Path(scratch)) if path else Path()  # as echo has
        asked = Model(path=path, framework=framework)
        told = with_container(spec(name, asked, local, BatchLimits()), config.load())
        inspected = load(told, permissions)
        if isinstance(inspected.predictor, Closing):
            inspected.predictor.close()
    loaded = inspected.info
    if as_json:
        from trivet.protocols.status import described

        click.echo(json.dumps(described(loaded), indent=2))
        return
    _draw(loaded)


def _draw(model: "ModelInfo") -> None:
    from rich.console import Console
    from rich.table import Table

    from trivet.protocols.status import example_call

    console = Console(highlight=False)
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("model", str(model.spec.path))
    facts.add_row("framework", model.framework)
    if model.library:
        facts.add_row("answered by", model.library)
    if model.signature.name:
        facts.add_row("signature", model.signature.name)
    facts.add_row("size", _bytes(model.size))
    facts.add_row("loads in", f"{model.load_seconds:.2f} s")
    facts.add_row("would run", f"{model.placement.where}: {model.placement.reason}")
    if model.signature.classes:
        facts.add_row("classes", ", ".join(str(one) for one in model.signature.classes))
    for option in model.signature.parameters or ():
        facts.add_row("parameter", f"{option.name}: {' | '.join(option.choices)}")
    console.print(facts)
    fields = Table(title="an instance, in order", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "field", "type"):
        fields.add_column(heading, style="dim" if not heading else "")
    for index, (name, spec) in enumerate(model.signature.values()):
        fields.add_row(str(index), name, spec.describe())
    console.print(fields)
    console.print("\n[bold]example[/bold]  (after `trivet serve`)")
    console.print(example_call("http://localhost:8080", model), soft_wrap=True, markup=False)


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
