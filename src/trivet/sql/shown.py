"""Rows drawn as a table of plain text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trivet.sql.result import Result

_WIDE = 60
_NUMBERS = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC")


def table(result: "Result", rows: int) -> str:
    """Return the next rows, at most so many, with the names of the columns above."""
    taken = result.fetchmany(rows + 1)
    shown = [[cell(value) for value in row] for row in taken[:rows]]
    names = [one.name for one in result.fields]
    right = [one.type.kind in _NUMBERS for one in result.fields]
    widths = [max([len(name), *(len(row[number]) for row in shown)]) for number, name in enumerate(names)]
    lines = [_line(names, widths, right), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths, right) for row in shown]
    more = "and more" if len(taken) > rows else ""
    lines.append(more or f"({len(shown)} row{'' if len(shown) == 1 else 's'})")
    return "\n".join(lines)


def cell(value: Any, wide: int = _WIDE) -> str:
    """Return a value as people read it, cut where it is long."""
    text = _text(value).replace("\n", "\\n")
    return text if len(text) <= wide else text[: wide - 1] + "…"


def _text(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.15g}"
        case Mapping():
            return "{" + ", ".join(f"{name}: {_text(one)}" for name, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_text(one) for one in value) + "]"
    return value.hex() if isinstance(value, bytes) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    made = (
        one.rjust(width) if to_right else one.ljust(width)
        for one, width, to_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(made).rstrip()
