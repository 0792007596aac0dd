"""What a fitted scikit-learn model takes: how many features, their names, types, and in which form.

An all-numeric model takes one float64 matrix. Where an encoder, an imputer or a vectorizer within the model
shows that it was fitted on text, every feature is a column of its own type. What cannot be seen there the
user declares in `signature.json`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trivet.core.instances import Column, Instances
from trivet.core.signature import NUMBERS, DType, Signature, TensorSpec, matrix, numpy_dtype
from trivet.runtimes.base import need
from trivet.runtimes.sklearn_look import Seen, first, is_vectorizer, look, picks_by_name


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a model, how `predict` gets them, and a row to try it with.

    `named` where it gets a data frame, or makes some itself, whose names must be those it was fitted on.
    """

    specs: tuple[TensorSpec, ...]
    rows: Callable[[Instances], Any]
    probe: Instances
    named: bool = False


def inputs_of(model: Any, declared: Signature | None) -> Inputs:
    """Find out what a model takes, with what the user declares where the model does not show it."""
    asked = declared.inputs if declared else ()
    if is_vectorizer(first(model)):
        name = asked[0].name if len(asked) == 1 else "text"
        spec, text = TensorSpec(name, "string"), np.array(["text"], object)
        return Inputs((spec,), lambda instances: instances.columns[name], Instances({name: text}, 1))
    size = getattr(model, "n_features_in_", None)
    if not size:  # CatBoost says 0, and keeps names even where it was given none
        size = len(getattr(model, "feature_names_", ())) or None
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if size is None:
        return _matrix(TensorSpec("features", "float64", (len(asked) or None,)), model, names)
    seen = look(model, size)
    columns = [seen.get(index, Seen()) for index in range(size)]
    flat = len(asked) == size and not any(spec.shape for spec in asked)
    if flat:
        columns = [
            replace(column, dtype=spec.dtype, nullable=spec.nullable)
            for column, spec in zip(columns, asked, strict=True)
        ]
    if all((column.dtype or "float64") in NUMBERS for column in columns):
        nullable = any(column.nullable for column in columns)
        return _matrix(matrix(size, names, "float64", nullable=nullable), model, names)
    given = [spec.name for spec in asked] if flat else names or [f"x{index}" for index in range(size)]
    specs = tuple(
        TensorSpec(name, _dtype(column), nullable=column.nullable)
        for name, column in zip(given, columns, strict=True)
    )
    clean = _cleaner(specs, columns)
    probe = {s.name: np.array([c.some], numpy_dtype(s.dtype)) for s, c in zip(specs, columns, strict=True)}
    rows = _frame(clean, need("pandas", "sklearn")) if names else _objects(clean)
    return Inputs(specs, rows, Instances(probe, 1), bool(names))


def parts(model: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield a model and every estimator within it, once each, and what scikit-learn keeps them in."""
    seen = set() if seen is None else seen
    if id(model) in seen:
        return
    seen.add(id(model))
    if isinstance(model, dict):
        inner = list(model.values())
    elif isinstance(model, list | tuple):
        inner = list(model)
    elif hasattr(model, "__dict__") and (hasattr(model, "get_params") or _is_own(model)):
        inner = list(vars(model).values())
        yield model
    else:
        return
    for one in inner:
        yield from parts(one, seen)


def _is_own(part: Any) -> bool:
    """Whether it is scikit-learn's own; what calibration keeps its estimators in is not one itself."""
    return type(part).__module__.startswith("sklearn.")


def _matrix(spec: TensorSpec, model: Any, names: list[str]) -> Inputs:
    probe = Instances({"features": np.zeros((1, spec.shape[0] or 1))}, 1)
    makes_frames = any(
        getattr(part, "_sklearn_output_config", {}).get("transform", "default") != "default"
        for part in parts(model)
    )
    if names and (makes_frames or picks_by_name(model)):
        return framed(Inputs((spec,), _plain, probe), model)
    if names:  # a data frame holds its columns one after another, and BLAS sums in another order then
        return Inputs((spec,), lambda instances: np.asfortranarray(instances.columns["features"]), probe)
    return Inputs((spec,), _plain, probe, makes_frames)


def _plain(instances: Instances) -> Any:
    return instances.columns["features"]


def framed(inputs: Inputs, model: Any) -> Inputs:
    """Return the same matrix given as a data frame, with the names that the model was fitted on."""
    frame, names = need("pandas", "sklearn").DataFrame, list(model.feature_names_in_)
    rows = lambda instances: frame(instances.columns["features"], columns=names)  # noqa: E731
    return replace(inputs, rows=rows, named=True)


def _dtype(column: Seen) -> DType:
    """Return the type of a column of its own; missing integers are kept as floats."""
    dtype = column.dtype or "float64"
    return "float64" if column.nullable and dtype == "int64" else dtype


Clean = Callable[[Instances], Mapping[str, Column]]


def _cleaner(specs: Sequence[TensorSpec], columns: Sequence[Seen]) -> Clean:
    """Return what replaces None by NaN, which is what a missing text is to scikit-learn and pandas.

    Columns of a model that was fitted on None keep it.
    """
    missing = [
        spec.name
        for spec, column in zip(specs, columns, strict=True)
        if spec.nullable and numpy_dtype(spec.dtype).hasobject and not column.none
    ]

    def clean(instances: Instances) -> Mapping[str, Column]:
        given = instances.columns
        return {**given, **{name: _nan_for_none(given[name]) for name in missing}}

    return clean if missing else lambda instances: instances.columns


def _nan_for_none(column: Column) -> Column:
    absent = column == np.array(None)
    return np.where(absent, np.nan, column) if absent.any() else column


def _frame(clean: Clean, pandas: Any) -> Callable[[Instances], Any]:
    """Return what makes a data frame; columns of text stay objects whatever their values are."""

    def rows(instances: Instances) -> Any:
        return pandas.DataFrame(
            {
                name: pandas.Series(column, dtype=object) if column.dtype.hasobject else column
                for name, column in clean(instances).items()
            }
        )

    return rows


def _objects(clean: Clean) -> Callable[[Instances], Any]:
    """Return what makes an array of objects, for a model fitted on one."""

    def rows(instances: Instances) -> Any:
        made = np.empty((instances.count, len(instances.columns)), object)
        for index, column in enumerate(clean(instances).values()):
            made[:, index] = column
        return made

    return rows
