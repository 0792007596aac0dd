"""How the tests of a runtime ask its predictors."""

from typing import Any

import numpy as np

from trivet.codecs.json_rows import RowDecoder
from trivet.core.predictor import Predictor


def predict(predictor: Predictor, rows: Any, output: str = "labels") -> Any:
    """Return the one column that a predictor answers JSON rows with."""
    instances = RowDecoder(predictor.signature).decode(rows)
    parameters = {"output": output} if predictor.signature.parameters else {}
    (column,) = predictor.predict(instances, parameters).columns.values()
    return column


def same(actual: Any, expected: Any) -> bool:
    """Whether two columns are equal bit for bit, and of one precision."""
    floats = actual.dtype.kind == "f"
    return (not floats or actual.dtype == expected.dtype) and np.array_equal(
        actual, expected, equal_nan=floats
    )
