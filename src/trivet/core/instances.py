"""Rows going into and coming out of a model, stored by column: the currency of the whole system."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


@dataclass(slots=True, eq=False)
class Rows:
    """Named columns that hold one row per entry of their first axis.

    Immutable by agreement; to have Python enforce it would cost a request twice the time of making it.
    Slicing gives views and joining copies once. A column of arbitrary JSON values has dtype object.
    """

    columns: Mapping[str, Column]
    count: int

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
        return cls(joined, sum(part.count for part in parts))

    def slice(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop`, which must lie within the rows there are."""
        window = {name: column[start:stop] for name, column in self.columns.items()}
        return self.__class__(window, stop - start)

    def split(self, counts: Sequence[int]) -> Iterator[Self]:
        """Undo `join`: give back parts of these many rows each."""
        start = 0
        if len(self.columns) == 1:
            (name, column), part = next(iter(self.columns.items())), self.__class__
            for count in counts:
                stop = start + count
                yield part({name: column[start:stop]}, count)
                start = stop
            return
        for count in counts:
            yield self.slice(start, start + count)
            start += count


class Instances(Rows):
    """What a model is asked about."""

    __slots__ = ()


class Predictions(Rows):
    """What it answered, row for row. One column is a bare value, several are an object by name."""

    __slots__ = ()


def object_column(values: Sequence[Any]) -> Column:
    """Return a one-dimensional column of Python objects, whatever they are: lists stay lists."""
    return np.fromiter(values, dtype=object, count=len(values))
