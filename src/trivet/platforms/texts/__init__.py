"""The texts of bundles that are no documents: Dockerfile, scripts and notes, with `%{...}` in them."""

from importlib.resources import files
from string import Template


class _Text(Template):
    delimiter = "%"


def filled(file: str, /, **values: str) -> str:
    """Return a text with its values in place; a line that is nothing but an empty value is left out."""
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    empty = {f"%{{{name}}}" for name, value in values.items() if not value}
    kept = [line for line in text.splitlines() if line not in empty]
    return _Text("\n".join(kept)).substitute(values) + "\n"
