"""What a model takes and gives: names, dtypes and shapes per instance.

A model that takes one matrix of numbers has one input whose `fields` name the matrix' columns, so that
an instance may be an array or an object while the model still gets one array. A model that takes
columns of different types has one input of shape () for each. A model that takes any JSON has one input
of dtype `json`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from trivet.core.errors import FailedPrecondition, InvalidArgument

DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "string", "category", "bytes", "json",
]  # fmt: skip
"""`category` is a string or an integer, as CatBoost takes them; `json` is any value, untouched."""

FLOATS = frozenset(("float16", "float32", "float64"))
INTEGERS = frozenset(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))
NUMBERS = FLOATS | INTEGERS

Parameters = Mapping[str, Any]
"""Per-request options of a model."""

EXPLANATIONS = "explanations"
"""The value of the parameter `output` by which a model is asked to explain what it predicts.

The answer is one row for each instance: what is predicted (`prediction`, or `predicted_class` with its
`probability`), its `value` before any link function, the `baseline` that this is compared with, and the
`attributions`, what each feature of `Signature.features` adds to the baseline.
"""


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """Return how numpy stores a column of this dtype; text, bytes and JSON are Python objects."""
    return np.dtype(dtype if dtype in NUMBERS or dtype == "bool" else object)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output, without the axis of instances.

    `shape` holds a size or None (any) per axis; () is a single value. `fields` names the entries of a
    one-dimensional input. Where `nullable`, null is NaN in a float and None in an object column.
    """

    name: str
    dtype: DType
    shape: tuple[int | None, ...] = ()
    fields: tuple[str, ...] = ()
    nullable: bool = False

    def __post_init__(self) -> None:
        if self.fields and self.shape != (len(self.fields),):
            raise ValueError(f"{self.name}: {len(self.fields)} fields, but shape {self.shape}")

    @property
    def dynamic(self) -> bool:
        """Whether instances may differ in shape, and so cannot always be joined."""
        return None in self.shape

    def describe(self) -> str:
        """Return the type as people write it: `float32[30]`, `string or null`."""
        sizes = ",".join("any" if size is None else str(size) for size in self.shape)
        return self.dtype + (f"[{sizes}]" if self.shape else "") + (" or null" * self.nullable)


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A per-request option and the values it may have; the first is the default."""

    name: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs, outputs, classes and parameters of a model.

    `classes` are a classifier's labels in the order of its probabilities. `parameters` are the options
    it knows; None lets any through (a custom predictor). `example` is one instance as JSON. `name` is
    which of an artifact's signatures this is, where it has several.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    classes: tuple[Any, ...] = ()
    parameters: tuple[ParameterSpec, ...] | None = ()
    example: Any = field(default=None, compare=False)
    name: str = ""

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"inputs: {twice} is named twice")

    @property
    def takes_json(self) -> bool:
        """Whether an instance may be any JSON value."""
        return len(self.inputs) == 1 and self.inputs[0].dtype == "json"

    @property
    def names(self) -> tuple[str, ...]:
        """The names an instance given as an object has, in the order of one given as an array."""
        return tuple(name for name, _ in self.values())

    @property
    def features(self) -> tuple[str, ...]:
        """The names of all features, in the order of attributions; those of a bare matrix are numbered."""
        if len(self.inputs) == 1 and not self.inputs[0].fields and len(self.inputs[0].shape) == 1:
            return tuple(f"f{index}" for index in range(self.inputs[0].shape[0] or 0))
        return self.names

    @property
    def explains(self) -> bool:
        """Whether the model can be asked for explanations."""
        return any(EXPLANATIONS in spec.choices for spec in self.parameters or () if spec.name == "output")

    def values(self) -> Iterator[tuple[str, TensorSpec]]:
        """Yield each value of an instance: its name and what it must be."""
        for spec in self.inputs:
            if spec.fields:
                one = replace(spec, shape=(), fields=())
                yield from ((name, one) for name in spec.fields)
            else:
                yield spec.name, spec

    def resolve(self, given: Parameters | None, defaults: Parameters) -> Parameters:
        """Return the parameters of a request, checked and completed by the deployment's defaults."""
        if not given:
            return defaults
        if self.parameters is None:
            return {**defaults, **given}
        known = {spec.name: spec.choices for spec in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise InvalidArgument(f"parameters.{name}: {unknown(name, tuple(known), 'parameter')}")
            if value not in known[name]:
                raise InvalidArgument(
                    f"parameters.{name}: expected one of {', '.join(known[name])}; got {repr(value)[:60]}"
                )
        return {**defaults, **given}

    def defaults(self) -> Parameters:
        """Return the parameters of a request that gives none."""
        return {spec.name: spec.choices[0] for spec in self.parameters or ()}


def unknown(name: str, known: Sequence[str], what: str) -> str:
    """Say that a name is unknown, with the nearest known one or the few there are."""
    if near := get_close_matches(name, known, n=1):
        return f"unknown {what}; did you mean {near[0]!r}?"
    if not known:
        return f"unknown {what}; there are none"
    return f"unknown {what}; known: {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}"


def declare(inferred: Signature, declared: Signature) -> Signature:
    """Let what the user declared (`signature.json`) refine what was inferred from the artifact.

    Raises FailedPrecondition where the two contradict each other.
    """
    inputs = _declare_inputs(inferred, declared.inputs) if declared.inputs else inferred.inputs
    for spec in inputs:
        if spec.nullable and (spec.dtype in INTEGERS or spec.dtype == "bool"):
            raise FailedPrecondition(
                f"signature.json: inputs: {spec.name} is declared {spec.describe()}, but "
                f"{spec.dtype} has no null; expected a float"
            )
    if declared.name and declared.name != inferred.name:
        raise FailedPrecondition(
            f"signature.json: signature_name: {declared.name!r} is named, but the model's signature has "
            + (f"the name {inferred.name!r}" if inferred.name else "no name")
        )
    if declared.classes and inferred.classes and declared.classes != inferred.classes:
        raise FailedPrecondition(
            f"signature.json: classes: the model has {list(inferred.classes)}, "
            f"{list(declared.classes)} are declared"
        )
    return replace(
        inferred,
        inputs=inputs,
        outputs=declared.outputs or inferred.outputs,
        classes=declared.classes or inferred.classes,
        example=declared.example if declared.example is not None else inferred.example,
    )


def _declare_inputs(inferred: Signature, declared: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    if inferred.takes_json:
        return declared
    matrix = inferred.inputs[0]
    if len(inferred.inputs) == 1 and len(matrix.shape) == 1 and all(not s.shape for s in declared):
        return (_name_fields(matrix, declared),)
    expected = {spec.name: spec for spec in inferred.inputs}
    if sorted(expected) != sorted(spec.name for spec in declared):
        raise FailedPrecondition(
            f"signature.json: inputs: the model has {sorted(expected)}, "
            f"{sorted(spec.name for spec in declared)} are declared"
        )
    chosen = tuple(next(d for d in declared if d.name == spec.name) for spec in inferred.inputs)
    for own, asked in zip(inferred.inputs, chosen, strict=True):
        if not _fits(own.shape, asked.shape):
            raise FailedPrecondition(
                f"signature.json: inputs: {own.name} is declared {asked.describe()}, "
                f"but the model takes {own.describe()}"
            )
    return chosen


def _fits(own: tuple[int | None, ...], asked: tuple[int | None, ...]) -> bool:
    """Whether a declared shape is one that the model takes; any size may be fixed, but not changed."""
    return len(own) == len(asked) and all(a in (None, b) for a, b in zip(own, asked, strict=True))


def _name_fields(matrix: TensorSpec, declared: tuple[TensorSpec, ...]) -> TensorSpec:
    """Columns declared one by one name the fields of the one matrix that the model takes."""
    size = matrix.shape[0]
    if size is not None and size != len(declared):
        raise FailedPrecondition(
            f"signature.json: inputs: the model takes {size} features, {len(declared)} are declared"
        )
    if other := [spec for spec in declared if spec.dtype not in NUMBERS]:
        raise FailedPrecondition(
            f"signature.json: inputs: {other[0].name} is declared {other[0].dtype}, "
            f"but the model takes one matrix of {matrix.dtype}"
        )
    names = tuple(spec.name for spec in declared)
    nullable = matrix.dtype in FLOATS and any(spec.nullable for spec in declared)
    return replace(matrix, shape=(len(names),), fields=names, nullable=nullable)


def matrix(size: int, names: Sequence[str] | None, dtype: DType, nullable: bool = False) -> TensorSpec:
    """Return the usual input of a tabular model: one row of `size` numbers, named if names are unique."""
    unique = names is not None and len(set(names)) == len(names) == size
    return TensorSpec("features", dtype, (size,), tuple(names or ()) if unique else (), nullable)
