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

    A part that was split off knows the rows it is of as `whole`, in which it begins at row `start`: its
    columns are cut out when somebody asks for them, and parts that are joined again cost nothing.
    """

    __slots__ = ("_columns", "count", "start", "whole")

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        self._columns: Mapping[str, Column] | None = columns
        self.count = count
        self.whole: Self | None = None
        self.start = 0

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
        if parts[0].whole is not None and (rows := cls.neighbours(parts)) is not None:
            return rows
        joined = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
        return cls(joined, sum([part.count for part in parts]))

    @classmethod
    def neighbours(cls, parts: Sequence[Self]) -> Self | None:
        """Return the rows of parts that follow one another in one whole; None where they do not."""
        whole, start = parts[0].whole, parts[0].start
        stop = start
        for part in parts:
            if part.whole is not whole or part.start != stop:
                return None
            stop += part.count
        if whole is None or stop - start == whole.count:
            return whole
        return whole.slice(start, stop)

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
        start, whole, kind = self.start, self.whole or self, self.__class__
        for count in counts:
            part = kind.__new__(kind)
            part._be_part(whole, start, count)
            yield part
            start += count

    def _be_part(self, whole: Self, start: int, count: int) -> None:
        self._columns, self.count, self.whole, self.start = None, count, whole, start

    def _make(self) -> Mapping[str, Column]:
        assert self.whole is not None
        start, stop = self.start, self.start + self.count
        return {name: column[start:stop] for name, column in self.whole.columns.items()}


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
        packed: bytearray | Column | None = None,
    ) -> None:
        self._columns = columns
        self.count = count
        self.whole = None
        self.start = 0
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

    def _be_part(self, whole: Self, start: int, count: int) -> None:
        self._columns, self.count, self.whole, self.start = None, count, whole, start
        self.layout = self.packed = None

    def _make(self) -> Mapping[str, Column]:
        if self.layout is None:
            return super()._make()
        shape = self.count, self.layout.size
        return {self.layout.name: np.ndarray(shape, self.layout.dtype, self.packed)}


class Predictions(Rows):
    """What it answered, row for row. One column is a bare value, several are an object by name.

    `rows` is for a codec to keep what it has made of a whole, for all its parts.
    """

    __slots__ = ("rows",)

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        super().__init__(columns, count)
        self.rows: list[Any] | None = None

    def _be_part(self, whole: Self, start: int, count: int) -> None:
        self._columns, self.count, self.whole, self.start = None, count, whole, start
        self.rows = None


def object_column(values: Sequence[Any]) -> Column:
    """Return a one-dimensional column of Python objects, whatever they are: lists stay lists."""
    return np.fromiter(values, dtype=object, count=len(values))
