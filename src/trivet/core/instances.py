"""Rows going into and coming out of a model, stored by column: the currency of the whole system."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


class Rows:
    """Named columns that hold one row per entry of their first axis.

    Immutable by agreement; to have Python enforce it would cost a request twice the time of making it.
    Slicing gives views and joining copies once. A column of arbitrary JSON values has dtype object.
    """

    __slots__ = ("_columns", "count")

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        self._columns: Mapping[str, Column] | None = columns
        self.count = count

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.count} rows of {', '.join(self.columns)}>"

    @classmethod
    def of(cls, columns: Mapping[str, Column]) -> Self:
        """Check that the columns agree in length; raises ValueError where they do not."""
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1:
            raise ValueError(f"columns differ in length: {sorted(counts)}")
        return cls(columns, counts.pop())

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put rows of the same columns behind one another."""
        if len(parts) == 1:
            return parts[0]
        joined = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        return cls(joined, sum([part.count for part in parts]))

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns by name; made when somebody asks for them, where that saves work."""
        if self._columns is None:
            self._columns = self._make()
        return self._columns

    def slice(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop`, which must lie within the rows there are."""
        window = {name: column[start:stop] for name, column in self.columns.items()}
        return self.__class__(window, stop - start)

    def split(self, counts: Sequence[int]) -> Iterator[Self]:
        """Undo `join`: give back parts of these many rows each."""
        start = 0
        for count in counts:
            yield self.slice(start, start + count)
            start += count

    def _make(self) -> Mapping[str, Column]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How packed rows lie in memory: the one column that they are, its dtype, and the size of a row."""

    name: str
    dtype: np.dtype[Any]
    size: int


class Instances(Rows):
    """What a model is asked about. Rows packed by one `layout` become an array once for a whole batch."""

    __slots__ = ("layout", "packed")

    def __init__(
        self,
        columns: Mapping[str, Column] | None,
        count: int,
        layout: Layout | None = None,
        packed: bytearray | None = None,
    ) -> None:
        self._columns = columns
        self.count = count
        self.layout = layout
        self.packed = packed

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put rows of the same columns behind one another."""
        layout = parts[0].layout
        if layout is None or len(parts) == 1 or any([part.layout is not layout for part in parts]):
            return super().join(parts)
        packed = bytearray().join([part.packed for part in parts])  # type: ignore[misc]  # none is None
        return cls(None, sum([part.count for part in parts]), layout, packed)

    def _make(self) -> Mapping[str, Column]:
        assert self.layout is not None
        shape = self.count, self.layout.size
        return {self.layout.name: np.ndarray(shape, self.layout.dtype, self.packed)}


class Predictions(Rows):
    """What it answered, row for row. One column is a bare value, several are an object by name.

    A part of a batch knows the batch as `whole`, in which it begins at row `start`. `rows` is for a codec to
    keep what it has made of a whole.
    """

    __slots__ = ("rows", "start", "whole")

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        self._columns = columns
        self.count = count
        self.whole: Self | None = None
        self.start = 0
        self.rows: list[Any] | None = None

    def split(self, counts: Sequence[int]) -> Iterator[Self]:
        """Give back parts of these many rows each."""
        start, whole = self.start, self.whole or self
        for count in counts:
            part = self.__class__.__new__(self.__class__)
            part._columns, part.count, part.whole, part.start, part.rows = None, count, whole, start, None
            yield part
            start += count

    def _make(self) -> Mapping[str, Column]:
        assert self.whole is not None
        start, stop = self.start, self.start + self.count
        return {name: column[start:stop] for name, column in self.whole.columns.items()}


def object_column(values: Sequence[Any]) -> Column:
    """Return a one-dimensional column of Python objects, whatever they are: lists stay lists."""
    return np.fromiter(values, dtype=object, count=len(values))
