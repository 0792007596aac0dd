"""Times as text: of a fraction of a second GoogleSQL writes 3 digits or 6; DuckDB as few as it takes."""

from trivet.sql.translate.forms import Node, form


def padded(text: str) -> str:
    """Return the template of a time's text with 3 or 6 digits, or none, of the template of DuckDB's."""
    short = rf"regexp_replace({text}, '\.(\d|\d{{4}})(\+|$)', '.\100\2')"
    return (
        f"CASE WHEN contains({text}, '.') "
        rf"THEN regexp_replace({short}, '\.(\d\d|\d{{5}})(\+|$)', '.\10\2') ELSE {text} END"
    )


TEXT = padded("CAST(_x AS VARCHAR)")
"""The template of a time as CAST(_x AS STRING) has it."""


def as_text(value: Node) -> Node:
    """Return CAST(value AS STRING) of a TIMESTAMP, DATETIME or TIME."""
    return form(TEXT, "STRING", x=value)
