"""What an XGBoost model takes: one matrix, or a column for each feature where its file keeps categories."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.instances import Column, Instances
from trivet.core.signature import TensorSpec, matrix


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a model takes, and how to make the float32 matrix of it that XGBoost keeps inside."""

    inputs: tuple[TensorSpec, ...]
    codes: Mapping[str, Mapping[Any, int]]

    @classmethod
    def of(cls, booster: Any, count: int) -> "Features":
        """Take one matrix, or a column per feature where the file keeps categories."""
        names = booster.feature_names
        listed = _categories(booster)
        if not any(listed):
            return cls((matrix(count, names, "float32", nullable=True),), {})
        names = names or [f"f{index}" for index in range(count)]
        inputs = tuple(map(_column, names, listed))
        codes = {
            name: {one: code for code, one in enumerate(ones)}
            for name, ones in zip(names, listed, strict=True)
            if ones
        }
        return cls(inputs, codes)

    def matrix(self, instances: Instances) -> Column:
        """Return the features; raises InvalidArgument for a category that the model does not know."""
        if not self.codes:
            return instances.columns["features"]
        rows = np.empty((instances.count, len(self.inputs)), np.float32)
        for index, spec in enumerate(self.inputs):
            column = instances.columns[spec.name]
            if codes := self.codes.get(spec.name):
                rows[:, index] = [_code(codes, value, spec.name) for value in column.tolist()]
            else:
                rows[:, index] = column
        return rows


def _categories(booster: Any) -> Sequence[Sequence[Any]]:
    """Return the categories of every feature, in order of their codes; none of a feature without."""
    if "c" not in (booster.feature_types or ()):
        return ()
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    trees = trees.get("gbtree", trees)  # DART keeps its trees one level deeper
    return [_decode(encoded) for encoded in trees["model"].get("cats", {}).get("enc", ())]


def _decode(encoded: Mapping[str, Any]) -> Sequence[Any]:
    """Read a feature's categories: numbers, or texts as signed bytes with where each begins."""
    values: Sequence[int] = encoded["values"]
    if "offsets" not in encoded:
        return values
    text = np.array(values, np.int8).tobytes()
    if not text.isascii():  # XGBoost 3.2 counts characters where it should count bytes
        raise FailedPrecondition(
            "XGBoost does not keep categories with other than ASCII characters correctly: "
            "rename them, or train the model on integer codes"
        )
    offsets = encoded["offsets"]
    return [text[start:end].decode() for start, end in pairwise(offsets)]


def _column(name: str, categories: Sequence[Any]) -> TensorSpec:
    """Describe a feature; integer categories are float64, so that null and 3.0 fit."""
    if not categories:
        return TensorSpec(name, "float32", nullable=True)
    return TensorSpec(name, "string" if isinstance(categories[0], str) else "float64", nullable=True)


def _code(codes: Mapping[Any, int], value: Any, name: str) -> float:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return np.nan
    try:
        return codes[value]
    except KeyError:
        known = ", ".join(map(repr, list(codes)[:8])) + (", ..." if len(codes) > 8 else "")
        raise InvalidArgument(f"{name}: {value!r} is not a category of the model; known: {known}") from None
