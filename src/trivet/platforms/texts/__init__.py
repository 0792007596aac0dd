"""The texts of bundles that are no documents: Dockerfile, scripts and notes, with `%{...}` in them."""

from importlib.resources import files
from string import Template


class _Text(Template):
    delimiter = "%"


def filled(file: str, /, **values: str) -> str:
    """Return a text with its values in place; lines that are empty twice over become one."""
    text = _Text(files(__package__).joinpath(file).read_text(encoding="utf-8")).substitute(values)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n") + "\n"
