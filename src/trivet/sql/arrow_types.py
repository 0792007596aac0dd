"""Types of Arrow, and what GoogleSQL calls them."""

from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.sql.types import Field, Type, array, struct


def of_arrow(type_: Any, name: str) -> Type:  # noqa: C901, PLR0911 - one for each type
    """Return what GoogleSQL calls a type of Arrow; raises InvalidArgument for what it has not."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(type_):
        return of_arrow(type_.value_type, name)
    if isinstance(type_, pa.BaseExtensionType):
        return Type("JSON") if "json" in type_.extension_name else of_arrow(type_.storage_type, name)
    for check, kind in (
        (is_.is_boolean, "BOOL"), (is_.is_integer, "INT64"), (is_.is_floating, "FLOAT64"),
        (is_.is_string, "STRING"), (is_.is_large_string, "STRING"), (is_.is_string_view, "STRING"),
        (is_.is_binary, "BYTES"), (is_.is_large_binary, "BYTES"), (is_.is_fixed_size_binary, "BYTES"),
        (is_.is_date, "DATE"), (is_.is_time, "TIME"), (is_.is_duration, "INT64"), (is_.is_null, "STRING"),
        (is_.is_interval, "INTERVAL"),
    ):  # fmt: skip
        if check(type_):
            return Type(kind)  # type: ignore[arg-type]
    if is_.is_timestamp(type_):
        return Type("TIMESTAMP" if type_.tz else "DATETIME")
    if is_.is_decimal(type_):
        return Type("NUMERIC" if type_.scale <= 9 and type_.precision - type_.scale <= 29 else "BIGNUMERIC")
    if is_.is_struct(type_):
        return struct(*(Field(one.name, of_arrow(one.type, f"{name}.{one.name}")) for one in type_))
    if is_.is_map(type_):
        parts = (("key", type_.key_type), ("value", type_.item_type))
        return array(struct(*(Field(one, of_arrow(inner, f"{name}.{one}")) for one, inner in parts)))
    if is_.is_list(type_) or is_.is_large_list(type_) or is_.is_fixed_size_list(type_):
        item = of_arrow(type_.value_type, name)
        if item.kind == "ARRAY":
            raise InvalidArgument(f"column {name!r}: an array of arrays; GoogleSQL has none")
        return array(item)
    raise InvalidArgument(f"column {name!r}: type {type_} of Arrow has none of GoogleSQL's")
