"""Format elements of dates and times: from GoogleSQL's to DuckDB's strftime.

Sources: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements, and DuckDB's at
https://duckdb.org/docs/stable/sql/functions/dateformat. `%e` reaches here as sqlglot has it, `%-d`.
"""

import re

from trivet.sql.translate.forms import Node, form, is_text, kind, refused

_SAME = set("aAbBdHIjmMpSuUVwWyYG%f")
_LIKE = {
    "h": "%b", "n": "\n", "t": "\t", "R": "%H:%M", "r": "%I:%M:%S %p", "X": "%H:%M:%S", "T": "%H:%M:%S",
    "D": "%m/%d/%y", "x": "%m/%d/%y", "F": "%Y-%m-%d", "E6S": "%S.%f", "E3S": "%S.%g", "E4Y": "%Y",
}  # fmt: skip
_COMPUTED = {
    "e": "lpad(strftime(_x, '%-d'), 2, ' ')",
    "-d": "lpad(strftime(_x, '%-d'), 2, ' ')",
    "k": "lpad(strftime(_x, '%-H'), 2, ' ')",
    "l": "lpad(strftime(_x, '%-I'), 2, ' ')",
    "P": "lower(strftime(_x, '%p'))",
    "C": "lpad(CAST(date_part('year', _x) // 100 AS VARCHAR), 2, '0')",
    "Q": "CAST(date_part('quarter', _x) AS VARCHAR)",
    "g": "lpad(CAST(date_part('isoyear', _x) % 100 AS VARCHAR), 2, '0')",
    "s": "CAST(CAST(date_part('epoch', _x) AS BIGINT) AS VARCHAR)",
}
_ELEMENT = re.compile(r"%(E\dS|E\*S|E4Y|Ez|-d|.)", re.DOTALL)


def written_time(node: Node, value: Node, zone: Node | None) -> Node:
    """Return a date or a time as a string. `value` is a wall clock where a `zone` is given."""
    text = _literal(node)
    if kind(value) == "TIME":
        value = form("DATE '1970-01-01' + _x", "DATETIME", x=value)
    utc = zone is None or (is_text(zone) and zone.name.upper() in ("UTC", "+00", "+00:00", "ETC/UTC"))
    pieces: list[Node | str] = [""]
    at = 0
    for found in _ELEMENT.finditer(text):
        _append(pieces, text[at : found.start()].replace("%", "%%"))
        at = found.end()
        element = found[1]
        if element in _SAME:
            _append(pieces, "%" + element)
        elif element in _LIKE:
            _append(pieces, _LIKE[element])
        elif element in ("Z", "z", "Ez") and utc:
            _append(pieces, {"Z": "UTC", "z": "+0000", "Ez": "+00:00"}[element])
        elif element in _COMPUTED:
            pieces += [form(_COMPUTED[element], x=value.copy()), ""]
        else:
            raise refused(node, f"the format element %{element} is not supported")
    _append(pieces, text[at:].replace("%", "%%"))
    result: Node | None = None
    for piece in pieces:
        if piece == "":
            continue
        text_ = (
            form("strftime(_x, _format)", x=value.copy(), format=piece) if isinstance(piece, str) else piece
        )
        result = text_ if result is None else form("_a || _b", a=result, b=text_)
    return form("_x", "STRING", x=result if result is not None else form("''"))


def _append(pieces: list[Node | str], text: str) -> None:
    pieces[-1] = str(pieces[-1]) + text


_PARSED = set("aAbBdHIjmMpSUWyY%zf")
_PARSED_LIKE = {**{key: value for key, value in _LIKE.items() if key not in ("n", "t", "E3S")},
                "e": "%d", "-d": "%d", "k": "%H", "l": "%I", "E4Y": "%Y", "Ez": "%z"}  # fmt: skip


def parsed_time(node: Node, name: str) -> Node:
    """Return the value of a string by its format; what the format does not name is as in 1970-01-01."""
    text = _literal(node)
    pieces, at = [], 0
    for found in _ELEMENT.finditer(text):
        pieces.append(text[at : found.start()])
        at = found.end()
        element = found[1]
        if element in _PARSED:
            pieces.append("%" + element)
        elif element in _PARSED_LIKE:
            pieces.append(_PARSED_LIKE[element])
        else:
            raise refused(node, f"the format element %{element} is not supported", name)
    given = "".join([*pieces, text[at:]])
    if "%Y" in given or "%y" in given:
        return form(  # DuckDB would take `epoch` by itself for a date
            "strptime(':' || ltrim(_x), _format)", x=node.this, format=f":{given.lstrip()}"
        )
    return form("strptime('1970 ' || _x, _format)", x=node.this, format="%Y " + given)


def _literal(node: Node) -> str:
    given = node.args.get("format")
    if not is_text(given):
        raise refused(node, "the format must be a string literal")
    return str(given.name)
