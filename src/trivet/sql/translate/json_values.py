"""JSON: values are taken by path, and become what they are or fail.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

from sqlglot import exp

from trivet.sql.translate.casts import as_string
from trivet.sql.translate.encoded import encoded, plain
from trivet.sql.translate.forms import Node, Rules, form, is_text, kind, refused, wrong
from trivet.sql.translate.fractions import as_text, padded

RULES = Rules()

_NUMBERS = "'BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT'"
_STRICT = {
    "INT64": (
        f"json_type(_x) IN ({_NUMBERS}) AND CAST(_x ->> '$' AS DOUBLE) = trunc(CAST(_x ->> '$' AS DOUBLE))",
        "CAST(CAST(_x ->> '$' AS DECIMAL(38,9)) AS BIGINT)",
    ),
    "FLOAT64": (f"json_type(_x) IN ({_NUMBERS})", "CAST(_x ->> '$' AS DOUBLE)"),
    "BOOL": ("json_type(_x) = 'BOOLEAN'", "CAST(_x ->> '$' AS BOOLEAN)"),
    "STRING": ("json_type(_x) = 'VARCHAR'", "_x ->> '$'"),
}


@RULES(exp.Int64, exp.Float64, exp.JSONBool, exp.String)
def _strict(node: Node) -> Node:
    value = node.this
    if isinstance(node, exp.String) and (
        node.args.get("zone") is not None or kind(value) not in ("JSON", None)
    ):
        return _string_of_time(node)
    name = {exp.Int64: "INT64", exp.Float64: "FLOAT64", exp.JSONBool: "BOOL", exp.String: "STRING"}[
        type(node)
    ]
    if node.expression is not None:
        raise refused(node, "takes one argument here", name)
    test, result = _STRICT[name]
    if isinstance(node, exp.String) and kind(value) is None:
        test = "typeof(_x) <> 'JSON' OR json_type(TRY_CAST(_x AS JSON)) = 'VARCHAR'"
        result = (
            "CASE WHEN typeof(_x) = 'JSON' THEN TRY_CAST(_x AS JSON) ->> '$' ELSE CAST(_x AS VARCHAR) END"
        )
    return form(
        f"CASE WHEN _x IS NULL THEN NULL WHEN {test} THEN {result} "
        f"ELSE error('The provided JSON input is not {_A[name]}: ' || CAST(_x AS VARCHAR)) END",
        name, x=value,
    )  # fmt: skip


_A = {"INT64": "an integer", "FLOAT64": "a number", "BOOL": "a boolean", "STRING": "a string"}


_WALL = padded("CAST(_x AT TIME ZONE _zone AS VARCHAR)")
_MINUTES = "((epoch_us(_x AT TIME ZONE _zone) - epoch_us(_x)) // 60000000)"


def _string_of_time(node: Node) -> Node:
    zone = node.args.get("zone")
    if zone is None:
        return as_string(node.this)
    if not is_text(zone) or zone.name.upper() not in ("UTC", "ETC/UTC", "+00", "+00:00"):
        return form(
            f"{_WALL} || CASE WHEN {_MINUTES} < 0 THEN '-' ELSE '+' END || "
            f"lpad(CAST(abs({_MINUTES}) // 60 AS VARCHAR), 2, '0') || CASE WHEN {_MINUTES} % 60 <> 0 "
            f"THEN ':' || lpad(CAST(abs({_MINUTES}) % 60 AS VARCHAR), 2, '0') ELSE '' END",
            "STRING", x=node.this, zone=zone,
        )  # fmt: skip
    return as_text(form("CAST(_x AS TIMESTAMPTZ)", x=node.this))


@RULES(exp.ParseJSON)
def _parse_json(node: exp.ParseJSON) -> Node:
    if node.args.get("expression") is not None:
        raise refused(node, "wide_number_mode is not supported", "PARSE_JSON")
    return form("CAST(_x AS JSON)", "JSON", x=node.this)


@RULES(exp.JSONFormat)
def _to_json(node: exp.JSONFormat) -> Node:
    if node.args.get("options") is not None:
        raise refused(node, "takes one argument here", "TO_JSON")
    if node.args.get("to_json"):
        return form(_AS_JSON, "JSON", x=_as_json(node, "TO_JSON", node.this))
    text = encoded(node, "TO_JSON_STRING", node.this, stringify=True)
    return form("_x", "STRING", x=text)


_AS_JSON = "coalesce(to_json(_x), CAST('null' AS JSON))"


def _as_json(call: Node, name: str, value: Node) -> Node:
    """Return a value of which DuckDB's functions of JSON make what GoogleSQL's do."""
    if plain(value):
        return value
    return form("CAST(_x AS JSON)", "JSON", x=encoded(call, name, value, stringify=False))


def _path(node: Node, name: str) -> Node:
    path = node.args.get("expression")
    if isinstance(path, exp.JSONPath):
        parts = []
        for part in path.expressions:
            if isinstance(part, exp.JSONPathKey) and isinstance(part.this, str):
                parts.append('."' + part.this.replace('"', '\\"') + '"')
            elif isinstance(part, exp.JSONPathSubscript) and isinstance(part.this, int):
                parts.append(f"[{part.this}]")
            elif isinstance(part, exp.JSONPathRoot):
                continue
            else:
                raise refused(node, "the path may hold names and positions only", name)
        return exp.Literal.string("$" + "".join(parts))
    if path is None:
        return exp.Literal.string("$")
    raise refused(node, "the path must be a string literal", name)


def _document(value: Node) -> Node:
    return value if kind(value) == "JSON" else form("TRY_CAST(_x AS JSON)", "JSON", x=value)


@RULES(exp.JSONExtractScalar)
def _json_value(node: Node) -> Node:
    """NULL for objects, arrays and null."""
    path = _path(node, "JSON_VALUE")
    return form(
        "CASE WHEN json_type(_x, _path) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL "
        "ELSE json_extract_string(_x, _path) END",
        "STRING", x=_document(node.this), path=path,
    )  # fmt: skip


@RULES(exp.JSONExtract)
def _json_query(node: Node) -> Node:
    """JSON where the document is JSON, a STRING where it is a STRING."""
    path = _path(node, "JSON_QUERY")
    value = node.this
    inner = form("json_extract(_x, _path)", "JSON", x=_document(value), path=path)
    if kind(value) == "STRING":
        return form("CAST(nullif(_x, 'null') AS VARCHAR)", "STRING", x=inner)
    return inner


@RULES(exp.JSONExtractArray, exp.JSONValueArray)
def _json_array(node: Node) -> Node:
    values = isinstance(node, exp.JSONValueArray)
    path = _path(node, "JSON_VALUE_ARRAY" if values else "JSON_QUERY_ARRAY")
    items = form("CAST(json_extract(_x, _path) AS JSON[])", x=_document(node.this), path=path)
    if values:
        each = form(
            "CASE WHEN len(list_filter(_x, lambda e_: json_type(e_) IN ('OBJECT', 'ARRAY'))) = 0 "
            "THEN list_transform(_x, lambda e_: CASE WHEN json_type(e_) <> 'NULL' THEN e_ ->> '$' END) END",
            x=items,
        )
    else:
        each = items if kind(node.this) == "JSON" else form("CAST(_x AS VARCHAR[])", x=items)
    return form(
        "CASE WHEN json_type(_x, _path) = 'ARRAY' THEN _each END",
        "ARRAY", x=_document(node.this.copy()), path=path.copy(), each=each,
    )  # fmt: skip


@RULES(exp.JSONType)
def _json_type(node: Node) -> Node:
    return form(
        "CASE json_type(_x) WHEN 'VARCHAR' THEN 'string' WHEN 'OBJECT' THEN 'object' "
        "WHEN 'ARRAY' THEN 'array' "
        "WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE CASE WHEN _x IS NULL THEN NULL "
        "ELSE 'number' END END",
        "STRING", x=node.this,
    )  # fmt: skip


def json_object(node: exp.Anonymous) -> Node:
    """Return JSON_OBJECT of names and values in turn, or of an array of each."""
    arguments = list(node.expressions)
    if len(arguments) == 2 and all(isinstance(one, exp.Array) for one in arguments):
        pairs = zip(arguments[0].expressions, arguments[1].expressions, strict=False)
        arguments = [one for pair in pairs for one in pair]
    if arguments and kind(arguments[0]) == "ARRAY":
        raise refused(node, "takes names and values in turn", "JSON_OBJECT")
    if len(arguments) % 2:
        raise wrong(node, "JSON_OBJECT: expected as many values as names")
    names = [one.name for one in arguments[::2] if is_text(one)]
    if len(set(names)) < len(names):
        raise refused(node, "a name stands twice", "JSON_OBJECT")
    arguments[1::2] = [_as_json(node, "JSON_OBJECT", one) for one in arguments[1::2]]
    return _typed(exp.Anonymous(this="json_object", expressions=arguments))


@RULES(exp.JSONArray)
def _json_list(node: exp.JSONArray) -> Node:
    values = [_as_json(node, "JSON_ARRAY", one) for one in node.expressions]
    return _typed(exp.Anonymous(this="json_array", expressions=values))


def _typed(call: Node) -> Node:
    return form("_x", "JSON", x=call)


def subscript(node: exp.Bracket) -> Node | None:
    """Return `j['a']` or `j[0]` of JSON; None where it is an array's."""
    (index,) = node.expressions
    if is_text(index):
        path = '$."' + index.name.replace('"', '\\"') + '"'
        return form("json_extract(_x, _path)", "JSON", x=node.this, path=path)
    if kind(node.this) == "JSON":
        return form("json_extract(_x, CAST(_i AS BIGINT))", "JSON", x=node.this, i=index)
    return None
