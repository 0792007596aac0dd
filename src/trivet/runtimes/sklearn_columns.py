"""What a fitted scikit-learn model takes: how many features, their names, types, and in which form.

An all-numeric model takes one float64 matrix. Where an encoder, an imputer or a vectorizer within the model
shows that it was fitted on text, every feature is a column of its own type. What cannot be seen there the
user declares in `signature.json`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Instances
from trivet.core.signature import NUMBERS, DType, Signature, TensorSpec, matrix
from trivet.runtimes.base import need


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a model, and how `predict` gets them; `by_name` where it picks columns by name."""

    specs: tuple[TensorSpec, ...]
    rows: Callable[[Instances], Any]
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a part of the model shows of a feature; None where it does not."""

    dtype: DType | None = None
    nullable: bool = False


def inputs_of(model: Any, declared: Signature | None) -> Inputs:
    """Find out what a model takes; raises FailedPrecondition where it must be declared."""
    if _is_vectorizer(_first(model)):
        return Inputs((TensorSpec("text", "string"),), lambda instances: instances.columns["text"])
    size = getattr(model, "n_features_in_", None)
    if size is None:
        raise FailedPrecondition(
            f"a {type(model).__name__} does not say how many features it takes: give them in signature.json"
        )
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    seen = _look(model, size, names)
    columns = [seen.get(index, _Seen()) for index in range(size)]
    asked = declared.inputs if declared and len(declared.inputs) == size else ()
    dtypes: list[DType] = [
        asked[index].dtype if asked else one.dtype or "float64" for index, one in enumerate(columns)
    ]
    by_name = _picks_by_name(model)
    if all(dtype in NUMBERS for dtype in dtypes):
        spec = matrix(size, names, "float64", nullable=any(one.nullable for one in columns))
        return Inputs((spec,), _frame_of_matrix(names) if by_name else _matrix, by_name)
    given = [one.name for one in asked] or names or [f"x{index}" for index in range(size)]
    specs = tuple(
        TensorSpec(name, dtype, nullable=asked[i].nullable if asked else columns[i].nullable)
        for i, (name, dtype) in enumerate(zip(given, dtypes, strict=True))
    )
    return Inputs(specs, _frame if names else _objects, bool(names))


def _matrix(instances: Instances) -> Any:
    return instances.columns["features"]


def _frame_of_matrix(names: list[str]) -> Callable[[Instances], Any]:
    frame = need("pandas", "sklearn").DataFrame
    return lambda instances: frame(instances.columns["features"], columns=names)


def _frame(instances: Instances) -> Any:
    return need("pandas", "sklearn").DataFrame(instances.columns)


def _objects(instances: Instances) -> Any:
    rows = np.empty((instances.count, len(instances.columns)), object)
    for index, column in enumerate(instances.columns.values()):
        rows[:, index] = column
    return rows


def _first(model: Any) -> Any:
    """Return the part of a pipeline that sees the instances first."""
    while steps := getattr(model, "steps", None):
        model = steps[0][1]
    return model


def _is_vectorizer(part: Any) -> bool:
    names = {kind.__name__ for kind in type(part).__mro__}
    return bool(names & {"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"})


def _look(part: Any, size: int, names: list[str]) -> Mapping[int, _Seen]:
    """Return what a part of the model shows of each of its features."""
    if steps := getattr(part, "steps", None):
        return _look_along([step for _, step in steps], size, names)
    if (transformers := getattr(part, "transformers_", None)) is not None:
        return _look_across(transformers, size, names)
    if union := getattr(part, "transformer_list", None):
        return _look(union[0][1], size, names)
    nullable = _allows_missing(part)
    if _is_vectorizer(part):
        return {index: _Seen("string") for index in range(size)}
    kept = getattr(part, "categories_", None)
    if isinstance(kept, list) and len(kept) == size:
        return {index: _Seen(_dtype(values), nullable) for index, values in enumerate(kept)}
    statistics = getattr(part, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind in "OU":
        return {index: _Seen("string", nullable) for index in range(size)}
    return {index: _Seen(None, nullable) for index in range(size)}


def _look_along(steps: list[Any], size: int, names: list[str]) -> Mapping[int, _Seen]:
    """A pipeline: the first step says whether values may be missing, the first that knows the type."""
    shown: dict[int, _Seen] = {}
    for step in steps:
        if isinstance(step, str) or step is None:
            continue
        if getattr(step, "n_features_in_", size) != size:
            break
        for index, seen in _look(step, size, names).items():
            before = shown.get(index)
            shown[index] = seen if before is None else _Seen(before.dtype or seen.dtype, before.nullable)
        if hasattr(step, "transformers_") or not hasattr(step, "statistics_"):
            break
    return shown


def _look_across(transformers: Any, size: int, names: list[str]) -> Mapping[int, _Seen]:
    """A column transformer: each feature is shown by what it is given to."""
    shown: dict[int, _Seen] = {}
    for _, part, columns in transformers:
        indices = _indices(columns, size, names)
        if isinstance(part, str):
            found: Mapping[int, _Seen] = {i: _Seen(None, part == "drop") for i in range(len(indices))}
        else:
            found = _look(part, len(indices), [])
        for position, index in enumerate(indices):
            before, seen = shown.get(index), found.get(position, _Seen())
            both = before is None or before.nullable
            dtype = before.dtype if before else None
            shown[index] = _Seen(dtype or seen.dtype, both and seen.nullable)
    return shown


def _indices(columns: Any, size: int, names: list[str]) -> list[int]:
    if isinstance(columns, str) or np.isscalar(columns):
        columns = [columns]
    elif isinstance(columns, slice):
        columns = names[columns] if isinstance(columns.start or columns.stop, str) else range(size)[columns]
    chosen = list(columns)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        return [index for index, one in enumerate(chosen) if one]
    return [names.index(str(one)) if isinstance(one, str) else int(one) % size for one in chosen]


def _picks_by_name(model: Any) -> bool:
    """Whether a column transformer anywhere along the pipelines was told names, which only a frame has."""
    if steps := getattr(model, "steps", None):
        return any(_picks_by_name(step) for _, step in steps)
    for _, _, columns in getattr(model, "transformers_", ()):
        one = columns if isinstance(columns, str) else next(iter(columns), 0) if np.iterable(columns) else 0
        if isinstance(one, str):
            return True
    return False


def _allows_missing(part: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(part).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        return False


def _dtype(categories: Any) -> DType:
    kind = np.asarray(categories).dtype.kind
    if kind in "OUS":
        texts = [one for one in categories if isinstance(one, str)]
        return "string" if texts else "category"
    return "int64" if kind in "iu" else "float64"
