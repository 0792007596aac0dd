"""Whether a model that was written otherwise answers as before, over made-up rows."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Column, Instances
from trivet.core.predictor import AsyncPredictor, Predictor
from trivet.core.signature import FLOATS, INTEGERS, Signature, numpy_dtype
from trivet.runtimes import registry
from trivet.runtimes.base import Artifact

_ROWS = 512
_CLOSE = 1e-3
_MANY = 0.01


def of_files(framework: str, original: Path, made: bytes, output: str) -> str:
    """Return how the answers of a model's file and of what it became compare, in the form `output`.

    Raises FailedPrecondition where they differ; says so where the model takes no row that can be made up.
    """
    with TemporaryDirectory(prefix="trivet-model-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XGBoost's, of a file that is meant to look old
        file = Path(folder) / f"model{original.suffix}"
        file.write_bytes(made)
        before, after = _loaded(framework, original), _loaded(framework, file)
        rows = made_up(before.signature)
        known = [one for spec in before.signature.parameters or () for one in spec.choices]
        parameters = {**before.signature.defaults(), **({"output": output} if output in known else {})}
        try:
            expected = before.predict(rows, parameters).columns
        except Exception as error:  # noqa: BLE001 - the model's own
            return f"not compared, as it refuses made-up rows: {str(error)[:100]}"
        return told(expected, after.predict(rows, parameters).columns)


def told(expected: Mapping[str, Column], actual: Mapping[str, Column]) -> str:
    """Return how answers to the same rows compare; raises FailedPrecondition where they are others."""
    largest, same, bad, count = 0.0, 1.0, 0.0, 0
    labels = numbers = False
    for name, before in expected.items():
        one = np.asarray(before)
        other = np.asarray(actual[name]).reshape(one.shape)
        count = len(one)
        if one.dtype.kind == "f":
            numbers = True
            gap = np.abs(other - one) / np.maximum(1.0, np.abs(one))
            largest, bad = max(largest, float(np.nanmax(gap))), max(bad, float(np.mean(gap > _CLOSE)))
        else:
            labels = True
            pairs = zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True)
            same = min(same, float(np.mean([str(a) == str(b) for a, b in pairs])))
            bad = max(bad, 1 - same)
    parts = [f"{same:.1%} of the labels are the same"] * labels + [
        f"largest difference {largest:.1g}"
    ] * numbers
    text = f"over {count} made-up rows, {', '.join(parts)}"
    if bad > _MANY:
        raise FailedPrecondition(f"it answers otherwise then: {text}; it is not sent to BigQuery")
    return text


def made_up(signature: Signature) -> Instances:
    """Return rows of numbers of many sizes, of texts and of truth values."""
    random = np.random.default_rng(0)
    columns: dict[str, Column] = {}
    for spec in signature.inputs:
        shape = (_ROWS, *(size or 1 for size in spec.shape))
        if spec.dtype in FLOATS or spec.dtype in INTEGERS:
            sizes = 10.0 ** random.integers(-1, 4, shape)
            values: Any = random.normal(size=shape) * sizes
        elif spec.dtype == "bool":
            values = random.integers(0, 2, shape)
        else:
            values = random.choice(["a", "b", "c"], shape).astype(object)
        columns[spec.name] = np.asarray(values).astype(numpy_dtype(spec.dtype))
    return Instances.of({name: _float32(column) for name, column in columns.items()})


def _float32(column: Column) -> Column:
    """Return numbers that are the same in float32, so that it is not rounding that is compared."""
    return column.astype(np.float32).astype(column.dtype) if column.dtype.kind == "f" else column


def _loaded(framework: str, file: Path) -> Predictor:
    predictor = registry.get_runtime(framework).load(Artifact(file))
    assert not isinstance(predictor, AsyncPredictor)
    return predictor
