"""Arrow arrays to Instances: what SQL gives a model, column by column.

Instances are what `json_rows` makes of the same values as JSON (a property test holds the two together), but
for NaN and infinities, which JSON does not have and a float keeps. Numbers and texts are never walked through
in Python. Ordinary arrays are converted in one go; only where a value is none that the model takes, it is
found out which rows are to blame, and why.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trivet.codecs import arrow_cells
from trivet.codecs.arrow_columns import Misfit, Values, values_of
from trivet.core.errors import Internal, InvalidArgument
from trivet.core.instances import Column, Instances, object_column
from trivet.core.signature import Signature, TensorSpec

Rows = NDArray[np.intp]

_text_of = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Decoded:
    """Instances of `count` rows, as far as they are any.

    `parts` are those of one shape each, with the rows that they are, None for all; `refused` says why the
    other rows are none.
    """

    count: int
    parts: list[tuple[Rows | None, Instances]] = field(default_factory=list)
    refused: dict[int, InvalidArgument] = field(default_factory=dict)


class ArrowDecoder:
    """Makes instances of arrays, of which there is one for each of `names`; may be used by several threads.

    They are the values of the signature in order; or, where the model takes one matrix without names, its
    entries; or the fields of an object (`as_array`: the values of an array), where it takes any JSON: those
    in `json` are texts of it. Without names, there is one array of structs, which are such objects; a second
    one names in each row, as JSON, the fields that are texts of it.
    """

    def __init__(
        self,
        signature: Signature,
        names: Sequence[str],
        json: Collection[str] = (),
        *,
        as_array: bool = False,
    ) -> None:
        self._as_array = as_array
        self._names = tuple(names)
        self._texts = frozenset(json)
        self._json = signature.inputs[0].name if signature.takes_json else ""
        self._columns = () if signature.takes_json else _columns(signature.inputs, len(names))
        self._matrix = self._columns[0] if len(self._columns) == 1 and self._columns[0].is_matrix else None
        self._dynamic = [one for one in self._columns if one.spec.dynamic]

    def decode(self, arrays: Sequence[Any]) -> Decoded:
        """Make instances of Arrow arrays of one length, and say which rows cannot be any.

        Arrays may be chunked; those of a matrix of numbers are then not put together.
        """
        count = len(arrays[0])
        try:
            if (matrix := self._matrix) is not None:
                columns = {matrix.spec.name: matrix.values.matrix(arrays)}
                return Decoded(count, [(None, Instances(columns, count))])
        except Misfit:
            pass  # it is found out below, where
        arrays = [_whole(one) for one in arrays]
        if self._json:
            return Decoded(count, [(None, self._any_json(arrays, count))])
        try:
            return Decoded(count, self._made(arrays, count, None))
        except Misfit:
            pass  # it is found out below, where
        refused = self._refused(arrays)
        if not refused:
            raise Internal("values that no row is to blame for were refused")
        decoded = Decoded(count, refused=refused)
        kept = np.delete(np.arange(count), list(refused))
        if len(kept):
            decoded.parts = self._made([_taken(one, kept) for one in arrays], len(kept), kept)
        return decoded

    def _made(
        self, arrays: Sequence[Any], count: int, rows: Rows | None
    ) -> list[tuple[Rows | None, Instances]]:
        """Make instances; raises Misfit where a value is none that the model takes."""
        shapes = [one.shapes(arrays[one.start]) for one in self._dynamic]
        if not shapes or not count or all((one == one[0]).all() for one in shapes):
            columns = {one.spec.name: one.make(arrays[one.start : one.stop], count) for one in self._columns}
            return [(rows, Instances(columns, count))]
        _, group = np.unique(np.stack(shapes, axis=1), axis=0, return_inverse=True)
        parts: list[tuple[Rows | None, Instances]] = []
        for index in range(int(group.max()) + 1):
            chosen = np.flatnonzero(group == index)
            inner = self._made([_taken(one, chosen) for one in arrays], len(chosen), None)
            parts += [(chosen if rows is None else rows[chosen], instances) for _, instances in inner]
        return parts

    def _refused(self, arrays: Sequence[Any]) -> dict[int, InvalidArgument]:
        refused: dict[int, InvalidArgument] = {}
        for column in self._columns:
            for index in range(column.start, column.stop):
                bad = column.misfits(arrays[index])
                for row in np.flatnonzero(bad).tolist():
                    if row not in refused:
                        refused[row] = self._why(column, arrays, index, row)
        return refused

    def _why(self, column: "_Column", arrays: Sequence[Any], index: int, row: int) -> InvalidArgument:
        told = ", ".join(
            f"{name} = {_shown(array, row)}" for name, array in zip(self._names[:8], arrays, strict=False)
        )
        more = ", ..." if len(self._names) > 8 else ""
        spec = column.spec if column.stop - column.start == 1 else replace(column.spec, shape=(), fields=())
        got = _shown(arrays[index], row)
        return InvalidArgument(
            f"{self._names[index]}: expected {spec.describe()}; got {got} (in the row {told}{more})"
        )

    def _any_json(self, arrays: Sequence[Any], count: int) -> Instances:
        """Make an object, or an array, of each row."""
        names, texts_of = self._names, self._texts
        if not names and count:
            whole, told = arrays
            names, texts_of = tuple(one.name for one in whole.type), frozenset(_json(told[0].as_py()))
            arrays = whole.flatten()
        texts = row_texts(names, arrays, texts_of, as_array=self._as_array)
        return Instances({self._json: object_column(_json(b"[" + b",".join(texts) + b"]"))}, count)


def row_texts(
    names: Sequence[str], arrays: Sequence[Any], json: Collection[str] = (), *, as_array: bool = False
) -> list[bytes]:
    """Return each row as JSON, an object by name or an array in order.

    The fields named in `json` are texts of JSON already.
    """
    import pyarrow as pa

    cells = []
    for name, given in zip(names, arrays, strict=True):
        array = _whole(given)
        if name in json and pa.types.is_string(array.type):
            cells.append([arrow_cells.json_text(one) for one in array.to_pylist()])
        else:
            cells.append(arrow_cells.texts(array))
    rows = zip(*cells, strict=True)
    if as_array:
        return [b"[" + b",".join(row) + b"]" for row in rows]
    template = b"{" + b",".join(_text_of(name).replace(b"%", b"%%") + b":%b" for name in names) + b"}"
    return [template % row for row in rows]


@dataclass(frozen=True, slots=True)
class _Column:
    """A tensor that the model takes, and the arrays `start` to `stop` that it is made of."""

    spec: TensorSpec
    start: int
    stop: int
    values: Values

    def make(self, arrays: Sequence[Any], count: int) -> Column:
        """Return the tensor; raises Misfit."""
        spec = self.spec
        if self.is_matrix:
            return self.values.matrix(arrays)
        array = arrays[0]
        if not spec.shape:
            return self.values.make(array)
        if spec.shape == (1,) and not _is_list(array):
            return self.values.make(array).reshape(count, 1)
        if array.null_count:
            raise Misfit
        shape = self._shape(array, count)
        return self.values.make(array.flatten()).reshape(count, *shape)

    @property
    def is_matrix(self) -> bool:
        """Whether its arrays are the columns of a matrix, though there may be one alone."""
        return bool(self.spec.fields) or self.stop - self.start > 1

    def shapes(self, array: Any) -> NDArray[np.int64]:
        """Return what tells rows of different shapes apart."""
        lengths: NDArray[np.int64] = array.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
        return lengths

    def misfits(self, array: Any) -> NDArray[np.bool_]:
        """Tell which rows of one of its arrays have no value that the model takes."""
        if not self.spec.shape or self.is_matrix or not _is_list(array):
            return self.values.misfits(array)
        bad: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
        lengths = array.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
        bad = bad | ~self._fits(lengths)
        inner = np.flatnonzero(self.values.misfits(array.flatten()))
        ends = np.cumsum(np.maximum(lengths, 0))
        bad[np.searchsorted(ends, inner, side="right")] = True
        return bad

    def _fits(self, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        known = int(np.prod([size for size in self.spec.shape if size is not None], dtype=np.int64))
        free = self.spec.shape.count(None)
        if not free:
            return np.asarray(lengths == known)
        if free > 1 or not known:
            return np.zeros(len(lengths), np.bool_)
        return np.asarray((lengths >= 0) & (lengths % known == 0))

    def _shape(self, array: Any, count: int) -> tuple[int, ...]:
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        if not self._fits(lengths).all():
            raise Misfit
        known = int(np.prod([size for size in self.spec.shape if size is not None], dtype=np.int64))
        free = int(lengths[0]) // known if count and known else 0
        return tuple(free if size is None else size for size in self.spec.shape)


def _columns(inputs: Sequence[TensorSpec], given: int) -> tuple[_Column, ...]:
    """Say which arrays each tensor is made of; all are the one's that has no names for its entries."""
    if len(inputs) == 1 and not inputs[0].fields and given > 1:
        return (_Column(inputs[0], 0, given, values_of(inputs[0])),)
    columns, start = [], 0
    for spec in inputs:
        stop = start + (len(spec.fields) or 1)
        columns.append(_Column(spec, start, stop, values_of(spec)))
        start = stop
    return tuple(columns)


def _whole(array: Any) -> Any:
    """Return an array that is not chunked."""
    chunks = getattr(array, "num_chunks", None)
    if chunks is None:
        return array
    return array.chunk(0) if chunks == 1 else array.combine_chunks()


def _is_list(array: Any) -> bool:
    return hasattr(array, "value_lengths")


def _taken(array: Any, rows: Rows) -> Any:
    return array.take(_indices(rows))


def _indices(rows: Rows) -> Any:
    import pyarrow as pa

    return pa.array(rows)


def _shown(array: Any, row: int) -> str:
    value = array[row].as_py()
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"an array of {len(value)} values"
    return repr(value)[:60]
