"""Instances as the Python values that a predictor of Python code gets, and its answers as predictions."""

from collections.abc import Callable, Sequence
from typing import Any

from trivet.core.errors import Internal
from trivet.core.instances import Column, Instances, Predictions, object_column
from trivet.core.signature import FLOATS, TensorSpec

Unpack = Callable[[Instances], list[Any]]
_PLAIN = frozenset((str, int, float, bool, type(None)))


def unpack(inputs: tuple[TensorSpec, ...]) -> Unpack:
    """Return what makes Python values of instances: bare JSON values, or dicts by name where declared."""
    if len(inputs) == 1 and inputs[0].dtype == "json":
        only = inputs[0].name
        return lambda instances: instances.columns[only].tolist()
    names = [name for spec in inputs for name in spec.fields or (spec.name,)]

    def rows(instances: Instances) -> list[Any]:
        values = [one for spec in inputs for one in _values(spec, instances.columns[spec.name])]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]

    return rows


def _values(spec: TensorSpec, column: Column) -> list[list[Any]]:
    """Return a column's values, one list per field; null is None again."""
    lists = column.T.tolist() if spec.fields else [column.tolist()]
    flat = spec.fields or not spec.shape
    if flat and spec.nullable and spec.dtype in FLOATS:
        return [[None if value != value else value for value in one] for one in lists]  # noqa: PLR0124 - NaN
    return lists


def predictions(answer: Any, count: int, owner: str) -> Predictions:
    """Make the column `prediction` of what a class called `owner` answered.

    Raises Internal unless it is a list, a tuple or an array with one entry per instance.
    """
    given = answer.tolist() if hasattr(answer, "tolist") else answer
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise Internal(f"{owner} gave a {type(answer).__name__}; expected a list with one entry per instance")
    if len(given) != count:
        raise Internal(f"{owner} gave {len(given)} predictions for {count} instances")
    return Predictions({"prediction": object_column([_plain(one) for one in given])}, count)


def _plain(value: Any) -> Any:
    """Make what NumPy made into what JSON knows, however deep it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value
