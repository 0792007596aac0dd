"""Names and texts as DuckDB's SQL has them."""


def quoted(*parts: str) -> str:
    """Return a name of one or several parts: `"p"."ds"."t"`."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def text(value: str) -> str:
    """Return a string literal."""
    return "'" + value.replace("'", "''") + "'"
