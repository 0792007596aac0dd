"""Predictions to Arrow: a struct of the outputs for each row, as a function of DuckDB returns them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from trivet.core.errors import Internal
from trivet.core.instances import Column, Predictions

_json = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(frozen=True, slots=True)
class Output:
    """An output: its name, the Arrow type of its column, and whether that holds JSON as text."""

    name: str
    type: Any
    json: bool = False


class ArrowEncoder:
    """Makes structs of these outputs.

    They are found among a model's answers by name, or by place where none has that name. An answer that is an
    object for each row is taken apart where there are several outputs, or the one has a name that it has.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        import pyarrow as pa

        self._outputs = tuple(outputs)
        self._names = [one.name for one in outputs]
        self._fields = [pa.field(one.name, one.type) for one in outputs]
        self._struct, self._of, self._buffer = pa.StructArray.from_arrays, pa.Array.from_buffers, pa.py_buffer
        self._double = pa.float64()
        self._doubles = [one.type == self._double for one in outputs]

    def encode(self, predictions: Predictions) -> Any:
        """Return an Arrow array of structs; raises Internal where the answers are not what was said."""
        count, columns = predictions.count, self._columns(predictions)
        arrays = [
            self._floats(column, count)
            if double and column.dtype.kind == "f" and column.shape == (count,) and column.flags.aligned
            else _array(output, column, count)
            for output, column, double in zip(self._outputs, columns, self._doubles, strict=True)
        ]
        return self._struct(arrays, fields=self._fields)

    def _floats(self, column: Column, count: int) -> Any:
        """Make what most models give; `pyarrow.array` asks much of it that is known."""
        values = np.ascontiguousarray(column, np.float64)
        return self._of(self._double, count, [None, self._buffer(values)], 0)

    def empty(self, count: int) -> Any:
        """Return so many nulls."""
        import pyarrow as pa

        return pa.nulls(count, pa.struct(self._fields))

    def _columns(self, predictions: Predictions) -> Sequence[Column]:
        given = predictions.columns
        if all([name in given for name in self._names]):
            return [given[name] for name in self._names]
        listed = list(given.values())
        if len(listed) == 1 and (taken := self._taken_apart(listed[0])) is not None:
            return taken
        if len(listed) == len(self._names):
            return listed
        raise Internal(f"the model gave {', '.join(given)}; expected {', '.join(self._names)}")

    def _taken_apart(self, column: Column) -> Sequence[Column] | None:
        """Return the fields of objects; None where the values are none, or are the one output themselves."""
        if column.dtype != object or column.ndim > 1:
            return None
        rows = column.tolist()
        if len(self._names) == 1 and not all(type(one) is dict and self._names[0] in one for one in rows):
            return None
        for row in rows:
            if row is not None and not isinstance(row, Mapping):
                kind = type(row).__name__
                raise Internal(f"the model gave a {kind}; expected an object of {', '.join(self._names)}")
        found = []
        for name in self._names:
            values = np.empty(len(rows), object)
            values[:] = [None if row is None else row.get(name) for row in rows]
            found.append(values)
        return found


def _array(output: Output, column: Column, count: int) -> Any:
    if len(column) != count:
        raise Internal(f"{output.name}: the model gave {len(column)} values for {count} instances")
    try:
        return _made(output, column, count)
    except (ValueError, TypeError, OverflowError, ArithmeticError) as error:  # which Arrow's errors are, too
        reason = str(error).partition("\n")[0][:200]
        raise Internal(f"{output.name}: the model gave what is no {output.type}: {reason}") from None


def _made(output: Output, column: Column, count: int) -> Any:
    import pyarrow as pa

    if output.json:
        return pa.array(
            [None if one is None else _json(one).decode() for one in column.tolist()], pa.string()
        )
    if not pa.types.is_list(output.type):
        if column.ndim > 1:
            if column.size != count:
                raise ValueError(f"arrays of shape {list(column.shape[1:])}")
            column = column.reshape(count)
        return _values(column, output.type)
    if column.dtype == object and column.ndim == 1:
        return pa.array([_plain(one) for one in column.tolist()], output.type)
    size = column.size // count if count else 0
    offsets = pa.array(np.arange(0, column.size + 1, size or 1, dtype=np.int32)[: count + 1], pa.int32())
    if not size:
        offsets = pa.array(np.zeros(count + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, _values(column.reshape(-1), output.type.value_type))


def _values(column: Column, kind: Any) -> Any:
    import pyarrow as pa

    if column.dtype.kind not in "fiub":
        return pa.array(column.tolist(), kind)
    if not column.flags.aligned:  # as a part of what another process has sent
        column = column.copy()
    if pa.types.is_float64(kind):
        return pa.array(column.astype(np.float64, copy=False))
    if pa.types.is_int64(kind) and column.dtype.kind != "f" and column.dtype != np.uint64:
        return pa.array(column.astype(np.int64, copy=False))
    return pa.array(column).cast(kind)  # which refuses what is none of it


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
