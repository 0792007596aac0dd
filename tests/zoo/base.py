"""What a case of the zoo is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Case:
    """A model and an oracle that asks the framework's own library, never Trivet.

    `train` fits a model, saves it in the folder given and returns the path to serve. `rows` are
    instances as JSON arrays and `names` what the values are called, so that the same rows can be sent
    as objects. `expect(path, rows, output)` loads the artifact with the framework's own library and
    returns its answer, an array with one entry per row, for `output` "labels" or "probabilities" (a
    classifier) or "values" (everything else; a dict by output name where the model has several). Where
    another library answers than the framework's own, the two may differ by `tolerance`, in relation to
    the largest value.
    """

    name: str
    framework: str
    train: Callable[[Path], Path]
    rows: Rows
    names: Sequence[str]
    expect: Callable[[Path, Rows, str], Any]
    outputs: Sequence[str] = ("values",)
    pickle: bool = False
    tolerance: float = 0.0

    def __str__(self) -> str:
        return self.name


def with_nulls(data: Any) -> Rows:
    """Return forty rows of a table of numbers as JSON, with a null here and there."""
    rows = data[::10][:40].tolist()
    return [
        [None if (i + j) % 7 == 3 else value for j, value in enumerate(row)] for i, row in enumerate(rows)
    ]
