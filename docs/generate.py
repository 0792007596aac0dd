"""Writes the reference pages that are made from the code: settings and the command line.

Run by `make docs`; a test fails when the pages in the repository are not what this would write.
"""

import ast
import inspect
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from trivet import config, settings
from trivet.cli import COMMANDS, main

REFERENCE = Path(__file__).parent / "reference"


def settings_page() -> str:
    """Return the page of settings, from the fields and the docstrings under them."""
    parts = [
        "# Settings\n",
        "Defaults < `trivet.toml` < the platform's `AIP_*` variables < `TRIVET_*` variables < flags.",
        "The file is looked for in the current folder, or where `TRIVET_CONFIG` says. An unknown key",
        "is an error. In variables, lists are written with commas between their entries, as `a, b`.",
        "`trivet config` prints what is in force and where each value comes from.\n",
    ]
    for section, kind in config.SECTIONS.items():
        parts.append(f"## `[{section}]`\n\n{inspect.getdoc(kind)}\n")
        parts += _rows(kind, lambda name, section=section: f"TRIVET_{section}_{name}".upper())
    parts.append(f"## `[models.NAME]`\n\n{inspect.getdoc(settings.Model)}\n")
    parts += _rows(settings.Model, lambda name: "")
    return "\n".join(parts) + "\n"


def _rows(kind: Any, variable: Any) -> list[str]:
    documented = _docstrings(kind)
    lines = []
    for one in fields(kind):
        named = f", `{variable(one.name)}`" if variable(one.name) else ""
        lines.append(f"- **`{one.name}`** = `{_written(one.default)}`{named}<br>\n  {documented[one.name]}")
    return [*lines, ""]


def _docstrings(kind: Any) -> dict[str, str]:
    """Return the string under each field, which Python itself throws away."""
    body = ast.parse(inspect.getsource(kind)).body[0].body
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _written(default: Any) -> str:
    if default is MISSING or default is None:
        return "not set"
    if isinstance(default, bool):
        return str(default).lower()
    return {(): "[]", "": '""'}.get(default, f'"{default}"' if isinstance(default, str) else str(default))


def cli_page() -> str:
    """Return the page of the command line: the help of every command."""
    parts = ["# Command line\n", "```text\n" + _help(main, "trivet") + "\n```\n"]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        parts.append(f"## `trivet {name}`\n\n```text\n{_help(command, f'trivet {name}')}\n```\n")
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for one in below:
            full = f"trivet {name} {one.name}"
            parts.append(f"### `{full}`\n\n```text\n{_help(one, full)}\n```\n")
    return "\n".join(parts)


def _help(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    return command.get_help(context)


PAGES = {"settings.md": settings_page, "cli.md": cli_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (REFERENCE / file).write_text(page())
