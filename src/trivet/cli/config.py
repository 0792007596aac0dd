"""`trivet config`: the settings in force and where each comes from."""

import re
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """Print the settings in force, and where each value comes from.

    Defaults < trivet.toml < AIP_* < TRIVET_* < flags. The variable for `server.port` is
    TRIVET_SERVER_PORT; TRIVET_CONFIG names another file than ./trivet.toml.
    """
    from dataclasses import asdict

    from trivet import config

    settings = config.load()
    rows: list[tuple[str, Any, str]] = []
    for key, _, _ in config.known():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        rows.append((key, without_password(value) if key == "catalog.url" else value, settings.sources[key]))
    for model, options in settings.models.items():
        source = settings.sources[f"models.{model}"]
        given = {name: value for name, value in asdict(options).items() if value not in ("", None)}
        rows += [(f"models.{model}.{name}", value, source) for name, value in given.items()]
    if as_json:
        import json

        shown = {key: {"value": value, "source": source} for key, value, source in rows}
        click.echo(json.dumps(shown, indent=2))
        return
    _draw(rows)


def without_password(url: str) -> str:
    """Return a database's URL for anybody's eyes; also one that is written so that it cannot be parsed."""
    hidden = re.sub(r"(://[^:/?@]*:).*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*password=)[^&#]*", r"\1***", hidden, flags=re.IGNORECASE)


def _draw(rows: list[tuple[str, Any, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, value, source in rows:
        style = "dim" if source == "default" else ""
        table.add_row(key, _written(value), source, style=style)
    Console().print(table)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value) or "(none)"
    return str(value) if value != "" else "(none)"
