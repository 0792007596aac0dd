"""Values that stand for `@name` and `?` in a statement, and the types they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from trivet.core.errors import InvalidArgument
from trivet.sql.types import Field, Type, array, struct

Given = Mapping[str, Any] | Sequence[Any] | None
"""By name for `@name`, in order for `?`; each a Python value, a `Parameter`, or `(Type, value)`."""

_SCALARS: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"), (int, "INT64"), (float, "FLOAT64"), (str, "STRING"), (bytes, "BYTES"), (date, "DATE"),
    (time, "TIME"), (timedelta, "INTERVAL"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value of a type: `None`, `bool`, `int`, `float`, `str`, `bytes`, `Decimal`, those of `datetime`, a
    list of them for an ARRAY, a dict for a STRUCT.
    """

    type: Type
    value: Any


def read(given: Given) -> dict[str, Parameter]:
    """Return the parameters by name in lower case; those of `?` are called `p1`, `p2`, ...

    Raises InvalidArgument for a value that no type of GoogleSQL has.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {name.lower().lstrip("@"): _parameter(one, f"@{name}") for name, one in given.items()}
    if isinstance(given, (str, bytes)):
        raise InvalidArgument("parameters: expected a mapping for @name, or a sequence for ?")
    return {f"p{number}": _parameter(one, f"parameter {number}") for number, one in enumerate(given, 1)}


def _parameter(given: Any, called: str) -> Parameter:
    if isinstance(given, Parameter):
        return given
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Type):
        return Parameter(given[0], given[1])
    if hasattr(given, "dtype") and hasattr(given, "tolist"):  # numpy's
        given = given.tolist()
    return Parameter(_type_of(given, called), given)


def _type_of(value: Any, called: str) -> Type:
    if (scalar := _scalar(value)) is not None:
        return scalar
    if isinstance(value, Mapping):
        return struct(*(Field(str(name), _type_of(one, f"{called}.{name}")) for name, one in value.items()))
    if isinstance(value, (list, tuple)):
        known = [_type_of(one, called) for one in value if one is not None] or [Type("INT64")]
        wider = next((one for one in known if all(other.coerces_to(one) for other in known)), None)
        if wider is None:
            raise InvalidArgument(f"{called}: the elements of an array must be of one type")
        return array(wider)
    raise InvalidArgument(f"{called}: a {type(value).__name__} is of no type that SQL has")


def _scalar(value: Any) -> Type | None:
    if value is None:
        return Type("INT64")
    if isinstance(value, datetime):
        return Type("TIMESTAMP" if value.tzinfo else "DATETIME")
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return Type("NUMERIC" if isinstance(exponent, int) and exponent >= -9 else "BIGNUMERIC")
    name = next((name for kind, name in _SCALARS if isinstance(value, kind)), None)
    return None if name is None else Type(name)  # type: ignore[arg-type]
