"""Looks into a fitted scikit-learn model for what each of its features is: text or number, and may it be
missing.

Nothing is predicted: encoders keep their categories, imputers their statistics, and estimators have tags.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.core.signature import DType

_TEXT = frozenset(("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a part of the model shows of a feature; `dtype` None where it does not.

    `filled`: behind this part no value is missing any more. `none`: missing was None, not NaN, when it was
    fitted. `some` is a value that it takes.
    """

    dtype: DType | None = None
    nullable: bool = False
    filled: bool = False
    none: bool = False
    some: Any = 0.0

    def then(self, later: "Seen") -> "Seen":
        """Combine with what the next part of a pipeline shows."""
        return Seen(
            self.dtype or later.dtype,
            self.nullable and (self.filled or later.nullable),
            self.filled or later.filled,
            self.none or later.none,
            self.some if self.dtype else later.some,
        )

    def beside(self, other: "Seen") -> "Seen":
        """Combine with what another part shows that gets the same feature."""
        known = self if self.dtype else other
        return Seen(
            known.dtype,
            self.nullable and other.nullable,
            self.filled and other.filled,
            self.none or other.none,
            known.some,
        )


_OPEN = Seen(nullable=True)


def look(part: Any, size: int) -> Mapping[int, Seen]:
    """Return what a part of the model shows of each of its `size` features."""
    part = unwrap(part)
    if steps := getattr(part, "steps", None):
        return _along([step for _, step in steps], size)
    if getattr(part, "transformers_", None) is not None:
        return _across(part, size)
    if (inner := getattr(part, "_preprocessor", None)) is not None:  # histogram boosting with categories
        return {index: _OPEN.then(seen) for index, seen in _across(inner, size).items()}
    if union := _beside(part):
        return _merged([look(one, size) for one in union], size)
    return {index: _leaf(part, index, size) for index in range(size)}


def first(model: Any) -> Any:
    """Return the part of a pipeline that sees the instances first."""
    while steps := getattr(unwrap(model), "steps", None):
        model = steps[0][1]
    return model


def unwrap(model: Any) -> Any:
    """Return the model that a search or another wrapper passes its instances on to."""
    for name in ("best_estimator_", "regressor_"):
        if (inner := getattr(model, name, None)) is not None:
            return unwrap(inner)
    calibrated = getattr(model, "calibrated_classifiers_", None)
    inner = calibrated[0].estimator if calibrated else getattr(model, "estimator_", None)
    return unwrap(inner) if hasattr(inner, "steps") else model


def is_vectorizer(part: Any) -> bool:
    """Whether it makes numbers of one text per instance."""
    return any(kind.__name__ in _TEXT for kind in type(part).__mro__)


def picks_by_name(model: Any) -> bool:
    """Whether a column transformer anywhere within was told names, which only a data frame has."""
    model = unwrap(model)
    if steps := getattr(model, "steps", None):
        return any(picks_by_name(step) for _, step in steps)
    if union := _beside(model):
        return any(picks_by_name(one) for one in union)
    for _, _, columns in getattr(model, "transformers_", ()):
        one = columns if isinstance(columns, str) else next(iter(columns), 0) if np.iterable(columns) else 0
        if isinstance(one, str):
            return True
    return False


def _beside(part: Any) -> Sequence[Any]:
    """Return the members of a union of transformers, or of an ensemble of different models."""
    if union := getattr(part, "transformer_list", None):
        return [one for _, one in union if not isinstance(one, str)]
    return list(part.named_estimators_.values()) if hasattr(part, "named_estimators_") else ()


def _merged(found: Sequence[Mapping[int, Seen]], size: int) -> Mapping[int, Seen]:
    merged = dict(found[0])
    for other in found[1:]:
        merged = {index: merged[index].beside(other[index]) for index in range(size)}
    return merged


def _along(steps: Sequence[Any], size: int) -> Mapping[int, Seen]:
    """A pipeline: what a step shows counts for as long as the columns are those of the instances."""
    shown = dict.fromkeys(range(size), _OPEN)
    same = True
    for step in steps:
        if isinstance(step, str) or step is None:
            continue
        if same and getattr(step, "n_features_in_", size) == size:
            seen = look(step, size)
        else:
            inside = look(step, getattr(step, "n_features_in_", 1))
            every = Seen(
                nullable=all(one.nullable for one in inside.values()),
                filled=all(one.filled for one in inside.values()),
            )
            seen = dict.fromkeys(range(size), every)
        shown = {index: before.then(seen[index]) for index, before in shown.items()}
        same = same and hasattr(step, "statistics_")
    return shown


def _across(part: Any, size: int) -> Mapping[int, Seen]:
    """A column transformer: each feature is shown by whatever it is given to."""
    names = [str(name) for name in getattr(part, "feature_names_in_", ())]
    shown: dict[int, Seen] = {}
    for _, inner, columns in part.transformers_:
        indices = _indices(columns, size, names)
        if isinstance(inner, str):
            found: Mapping[int, Seen] = dict.fromkeys(
                range(len(indices)), Seen(nullable=True, filled=inner == "drop")
            )
        else:
            found = look(inner, len(indices))
        for position, index in enumerate(indices):
            seen = found[position]
            shown[index] = shown[index].beside(seen) if index in shown else seen
    return {index: shown.get(index, Seen()) for index in range(size)}


def _indices(columns: Any, size: int, names: list[str]) -> list[int]:
    if isinstance(columns, str) or np.isscalar(columns):
        columns = [columns]
    elif isinstance(columns, slice):
        ends = [names.index(e) if isinstance(e, str) else e for e in (columns.start, columns.stop)]
        past = isinstance(columns.stop, str)  # a slice of names includes its end
        return list(range(size)[ends[0] : ends[1] + past if ends[1] is not None else None : columns.step])
    chosen = list(columns)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        return [index for index, one in enumerate(chosen) if one]
    return [names.index(str(one)) if isinstance(one, str) else int(one) % size for one in chosen]


def _leaf(part: Any, index: int, size: int) -> Seen:
    """Return what one estimator shows of a feature: by its categories, statistics or tags."""
    if is_vectorizer(part):
        return Seen("string", some="text")
    kept = getattr(part, "categories_", None)
    if isinstance(kept, list) and len(kept) == size:
        return _encoded(part, list(kept[index]), np.asarray(kept[index]).dtype.kind)
    kind = type(part).__name__
    nullable = _allows_missing(part)
    statistics = getattr(part, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind in "OU":
        none = getattr(part, "missing_values", np.nan) is None
        return Seen("string", nullable, filled=True, none=none, some=statistics[index])
    return Seen(None, nullable, filled=kind.endswith("Imputer"))


def _encoded(part: Any, categories: list[Any], kind: str) -> Seen:
    known = [one for one in categories if one is not None and one == one]  # noqa: PLR0124 - NaN
    missing = len(known) < len(categories)
    texts = any(isinstance(one, str) for one in known)
    numbers: DType = {"i": "int64", "u": "int64", "b": "bool"}.get(kind, "float64")  # type: ignore[assignment]
    return Seen(
        ("string" if texts else "category") if kind in "OUS" else numbers,
        missing or getattr(part, "handle_unknown", "ignore") != "error",
        filled=type(part).__name__ != "OrdinalEncoder",
        none=any(one is None for one in categories),
        some=known[0] if known else 0.0,
    )


def _allows_missing(part: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(part).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        return False
