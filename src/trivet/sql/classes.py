"""The classes of a classifier, and labels as places among them."""

import re
from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from trivet.sql.asked import cast, literal
from trivet.sql.types import BOOL, FLOAT64, INT64, JSON, STRING, Type

_NUMBERS = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC")
_TYPES: dict[type, Type] = {bool: BOOL, int: INT64, float: FLOAT64, str: STRING}


def type_of_class(classes: Sequence[Any]) -> Type:
    """Return the type of the column that holds a class."""
    kinds = {_TYPES.get(type(one), JSON) for one in classes}
    return kinds.pop() if len(kinds) == 1 else JSON


def place(value: exp.Expression, type_: Type, classes: Sequence[Any]) -> exp.Expression | None:
    """Return which of the classes a value is, from 1, and 0 for none of them; None where it cannot be one."""
    wanted = type_of_class(classes)
    if type_ == wanted and wanted in (BOOL, STRING):
        known: Any = list(classes)
    elif wanted in (INT64, FLOAT64) and (
        type_.kind in _NUMBERS or (type_ == BOOL and set(classes) == {0, 1})
    ):
        value, known = cast(value, "DOUBLE"), [float(one) for one in classes]
    else:
        return None
    found = exp.Anonymous(this="list_position", expressions=[literal(known), value])
    return exp.Coalesce(this=found, expressions=[exp.Literal.number(0)])


def column_names(classes: Sequence[Any]) -> list[str]:
    """Return names of columns for classes: themselves, where BigQuery takes that, else something near."""
    names: list[str] = []
    for one in classes:
        text = str(one).lower() if isinstance(one, bool) else str(one)
        name = (
            text
            if re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII)
            else "_" + re.sub(r"\W", "_", text, flags=re.ASCII)
        )
        number, unique = 1, name
        while unique.lower() in {other.lower() for other in (*names, "expected_label")}:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return names
