"""GoogleSQL's dates and times lie in the years 1 to 9999; DuckDB counts on.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#date_type and its siblings.
"""

from trivet.sql.translate.forms import Node, form

_FIRST, _LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"
_BOUNDS = {
    "DATE": ("DATE", "0001-01-01", "9999-12-31"),
    "DATETIME": ("TIMESTAMP", _FIRST, _LAST),
    "TIMESTAMP": ("TIMESTAMPTZ", f"{_FIRST}+00", f"{_LAST}+00"),
}


def within(value: Node, type_: str | None) -> Node:
    """Return a value that fails where it is out of range; one that is no date or timestamp stays.

    It fails as a conversion: an `error()` would be of DuckDB's volatile functions, which it neither takes as
    constants nor lets filters pass. The lambda has the value once, so that calls may be nested.
    """
    if type_ not in _BOUNDS:
        return value
    name, first, last = _BOUNDS[type_]
    return form(
        f"list_extract(list_transform([_x], lambda v_: CASE WHEN v_ NOT BETWEEN CAST('{first}' AS {name}) "
        f"AND CAST('{last}' AS {name}) THEN CAST('{type_} value is out of range: ' || CAST(v_ AS VARCHAR) "
        f"AS {name}) ELSE v_ END), 1)",
        type_, x=value,
    )  # fmt: skip
