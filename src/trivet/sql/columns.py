"""Which columns a model takes and gives: its signature, in GoogleSQL's types.

A matrix whose columns have names is a column each, one without is an ARRAY named like the input, unless an
INPUT clause packs columns into it. A model that takes any JSON has no inputs of its own: what it gets is one
object of all columns, or of those that an INPUT clause names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from trivet.codecs import example
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import InvalidArgument
from trivet.core.instances import Column, Predictions
from trivet.core.predictor import Predictor
from trivet.core.signature import (
    FLOATS,
    INTEGERS,
    DType,
    Parameters,
    ParameterSpec,
    Signature,
    TensorSpec,
    unknown,
)
from trivet.serving.lifecycle import LoadedModel
from trivet.serving.replica import FAULTS
from trivet.sql.model import STATUS, SqlModel
from trivet.sql.types import BOOL, BYTES, FLOAT64, INT64, JSON, STRING, Field, Type, array

NUMERIC_KINDS = frozenset(("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL"))

INSTANCES = "instance_type"
"""The option that says what an instance of any JSON is."""

_OWN: Mapping[str, tuple[str, ...]] = {"XGBOOST": ("booster",), "ONNX": ("tensors",)}
"""What BigQuery's imported models answer: what the library gives, not labels."""

_SCALAR = frozenset(("ONNX", "XGBOOST"))
"""Types of models of which an output of shape [N, 1] is a bare value."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a statement says of a model's columns.

    `inputs` and `outputs` are those of its INPUT and OUTPUT clauses, None where there is none. The option
    `scalar_outputs` says whether outputs of shape [N, 1] are bare values, `output` which answer of a
    classifier is meant, and `instance_type` what an instance of any JSON is.
    """

    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def described(
    model: LoadedModel, type_: str, declared: Declared
) -> tuple[tuple[Field, ...], tuple[Field, ...], Parameters]:
    """Return the inputs and outputs of a loaded model, and the parameters it is told with each batch.

    Raises InvalidArgument where the statement contradicts the model.
    """
    signature = model.info.signature
    check_instances(signature, declared.options)
    takes_arrays(declared.options)
    parameters = parameters_of(signature, type_, declared.options, model.info.defaults)
    sample = answered(model.predictor, signature, parameters)
    return *of(signature, type_, declared, parameters, sample), parameters


def of(
    signature: Signature,
    type_: str,
    declared: Declared,
    parameters: Parameters,
    sample: Predictions | None = None,
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return the inputs and outputs of a model of this MODEL_TYPE.

    `sample` is what it answers to its example with these parameters (see `answered`); without it the
    signature alone says what the outputs are. Raises InvalidArgument where the clauses contradict the model.
    """
    return _inputs(signature, declared.inputs), _outputs(signature, type_, declared, parameters, sample)


def parameters_of(
    signature: Signature, type_: str, options: Mapping[str, Any], defaults: Parameters
) -> Parameters:
    """Return what the predictor is told with each batch: its version's defaults, and the option `output`.

    An imported model of BigQuery's types XGBOOST and ONNX answers what its library gives, as there. Raises
    InvalidArgument for an output that the model does not have.
    """
    asked = options.get("output")
    if asked is None:
        known = next((spec.choices for spec in _known(signature) if spec.name == "output"), ())
        asked = next((one for one in _OWN.get(type_, ()) if one in known), None)
    if asked is not None and not any(spec.name == "output" for spec in _known(signature)):
        raise InvalidArgument("OPTIONS(output): the model has but one form of answer; leave it out")
    try:
        return signature.resolve({"output": asked} if asked is not None else None, defaults)
    except InvalidArgument as error:
        raise InvalidArgument(f"OPTIONS(output): {str(error).removeprefix('parameters.output: ')}") from None


def _known(signature: Signature) -> tuple[ParameterSpec, ...]:
    """Return the options of a model; one that lets any through may have this one."""
    return (ParameterSpec("output", ()),) if signature.parameters is None else signature.parameters


def answered(predictor: Predictor, signature: Signature, parameters: Parameters) -> Predictions | None:
    """Return what a model answers to its example; None where it has none, or refuses it."""
    if signature.takes_json and signature.example is None:
        return None
    try:
        one = RowDecoder(signature).decode([example.instance(signature)])
        return predictor.predict(one, parameters)
    except FAULTS:
        return None


def outputs_of(model: SqlModel) -> tuple[Field, ...]:
    """Return the columns that a prediction adds, with the status of a remote model's row."""
    if model.remote is None or any(one.name == STATUS for one in model.outputs):
        return model.outputs
    return (*model.outputs, Field(STATUS, STRING))


def check_instances(signature: Signature, options: Mapping[str, Any]) -> None:
    """Raise InvalidArgument where options say what an instance is, and so does the model."""
    if not signature.takes_json and INSTANCES in options:
        raise InvalidArgument(
            f"OPTIONS({INSTANCES}): only for models that take any JSON; this one says what it takes"
        )


def takes_arrays(options: Mapping[str, Any]) -> bool:
    """Whether an instance of any JSON is the array of a row's values, and not the object that it is by name.

    Raises InvalidArgument for an option `instance_type` that is neither.
    """
    asked = options.get(INSTANCES) or "object"
    if asked not in ("object", "array"):
        raise InvalidArgument(f"OPTIONS({INSTANCES}): expected 'object' or 'array'; got {asked!r}")
    return bool(asked == "array")


def packs(signature: Signature, inputs: Sequence[Field]) -> bool:
    """Whether these inputs are, in order, the entries of the one matrix that the model takes."""
    only = signature.inputs[0] if len(signature.inputs) == 1 else None
    if only is None or only.fields or len(only.shape) != 1 or not inputs:
        return False
    return len(inputs) > 1 or inputs[0].type.kind != "ARRAY"


def type_of(spec: TensorSpec) -> Type:
    """Return the type of the column that a tensor is. One value in an array is a bare value."""
    one = _of_dtype(spec.dtype)
    return array(one) if spec.shape and spec.shape != (1,) and one != JSON else one


def _of_dtype(dtype: DType) -> Type:
    """Return the type of one value; a category, which may be a string or an integer, is JSON."""
    if dtype in FLOATS:
        return FLOAT64
    if dtype in INTEGERS:
        return INT64
    return {"bool": BOOL, "string": STRING, "bytes": BYTES}.get(dtype, JSON)


def _inputs(signature: Signature, declared: tuple[Field, ...] | None) -> tuple[Field, ...]:
    natural = (
        ()
        if signature.takes_json
        else tuple(
            Field(name, type_of(spec), required=not spec.nullable) for name, spec in signature.values()
        )
    )
    if declared is None:
        check_names(natural)
        return natural
    _distinct("INPUT", declared)
    if signature.takes_json:
        return declared
    if packs(signature, declared):
        return _packed(signature.inputs[0], declared)
    check_names(natural)
    by_name = {one.name.lower(): one for one in declared}
    for one in declared:
        if one.name.lower() not in {known.name.lower() for known in natural}:
            names = [known.name for known in natural]
            raise InvalidArgument(f"INPUT: {one.name}: {unknown(one.name, names, 'input')}")
    return tuple(_agreed("INPUT", own, by_name.get(own.name.lower())) for own in natural)


def check_names(inputs: Sequence[Field]) -> None:
    """Raise InvalidArgument for inputs that one column would be: names of columns have no case."""
    seen: dict[str, str] = {}
    for one in inputs:
        key = one.name.lower()
        if key in seen:
            raise InvalidArgument(
                f"the model's inputs {seen[key]} and {one.name} are one name to SQL, where case does not "
                "matter; train it with other names"
            )
        seen[key] = one.name


def _packed(spec: TensorSpec, declared: tuple[Field, ...]) -> tuple[Field, ...]:
    size = spec.shape[0]
    if size is not None and size != len(declared):
        raise InvalidArgument(
            f"INPUT: the model takes {size} values in its input {spec.name}; {len(declared)} are declared"
        )
    natural = _of_dtype(spec.dtype)
    fields = [Field(one.name, natural, not spec.nullable) for one in declared]
    return tuple(_agreed("INPUT", own, one) for own, one in zip(fields, declared, strict=True))


def _agreed(clause: str, own: Field, declared: Field | None) -> Field:
    """Return a column as it is declared; raises InvalidArgument where the model has none such."""
    if declared is None:
        raise InvalidArgument(f"{clause}: {own.name} is missing; the model has it, as {own.type}")
    given, expected = declared.type, own.type
    fits = JSON in (given, expected) or _numbers(given, expected)
    if clause == "INPUT" and not (fits or given.coerces_to(expected)):
        raise InvalidArgument(f"INPUT: {own.name} is declared {given}; the model takes {expected}")
    if clause == "OUTPUT" and not (fits or expected.coerces_to(given)):
        raise InvalidArgument(f"OUTPUT: {own.name} is declared {given}; the model gives {expected}")
    return Field(declared.name, given, own.required, declared.description)


def _numbers(one: Type, other: Type) -> bool:
    if one.item is not None and other.item is not None:
        return _numbers(one.item, other.item)
    return one.kind in NUMERIC_KINDS and other.kind in NUMERIC_KINDS


def _outputs(
    signature: Signature, type_: str, declared: Declared, parameters: Parameters, sample: Predictions | None
) -> tuple[Field, ...]:
    natural = _natural_outputs(signature, type_, declared.options, parameters, sample)
    if declared.outputs is None:
        return natural
    _distinct("OUTPUT", declared.outputs)
    if not declared.outputs:
        raise InvalidArgument("OUTPUT: expected at least one column")
    if len(natural) == 1:
        if natural[0].type == JSON:  # an object by name, or a bare value
            return declared.outputs
        if len(declared.outputs) > 1:
            raise InvalidArgument(
                f"OUTPUT: the model has one output, {natural[0].name}; {len(declared.outputs)} are declared"
            )
        return (_agreed("OUTPUT", natural[0], declared.outputs[0]),)
    by_name = {one.name.lower(): one for one in declared.outputs}
    for one in declared.outputs:
        if one.name.lower() not in {known.name.lower() for known in natural}:
            names = [known.name for known in natural]
            raise InvalidArgument(f"OUTPUT: {one.name}: {unknown(one.name, names, 'output')}")
    chosen = [own for own in natural if own.name.lower() in by_name]
    return tuple(replace(_agreed("OUTPUT", own, by_name[own.name.lower()]), name=own.name) for own in chosen)


def _natural_outputs(
    signature: Signature,
    type_: str,
    options: Mapping[str, Any],
    parameters: Parameters,
    sample: Predictions | None,
) -> tuple[Field, ...]:
    told = {spec.name: spec for spec in signature.outputs}
    scalar = options.get("scalar_outputs", type_ in _SCALAR)
    if sample is not None:
        found = [_given(name, column, told.get(name), scalar) for name, column in sample.columns.items()]
    else:
        found = [
            Field(spec.name, type_of(spec) if scalar or spec.shape != (1,) else array(_of_dtype(spec.dtype)))
            for spec in _part(signature, parameters)
        ]
    if type_ == "TENSORFLOW":
        found.sort(key=lambda one: one.name.encode())
    if type_ == "XGBOOST" and len(found) == 1:
        found = [replace(found[0], name="predicted_label")]
    return tuple(found) or (Field("prediction", JSON),)


def _part(signature: Signature, parameters: Parameters) -> Sequence[TensorSpec]:
    """Return the outputs that a classifier's answer in this form has; those of other models are all."""
    parts = {"labels": ("predicted_class",), "probabilities": ("scores",)}
    names = parts.get(parameters.get("output", "")) if signature.classes else None
    return [spec for spec in signature.outputs if names is None or spec.name in names]


def _given(name: str, column: Column, told: TensorSpec | None, scalar: bool) -> Field:
    """Describe a column of an answer, as its one row shows it."""
    kind = column.dtype.kind
    one = {"f": FLOAT64, "i": INT64, "u": INT64, "b": BOOL, "U": STRING, "S": BYTES}.get(kind, JSON)
    if kind == "O":
        values = column.reshape(-1).tolist()
        kinds = {type(value) for value in values}
        if told is not None and told.dtype != "json":
            one = _of_dtype(told.dtype)
        elif told is None and kinds and kinds <= {str}:
            one = STRING
        elif kinds and kinds <= {bytes}:
            one = BYTES
    bare = column.ndim == 1 or (scalar and np.prod(column.shape[1:]) == 1)
    return Field(name, one if bare else array(one))


def _distinct(clause: str, fields: Sequence[Field]) -> None:
    names = [one.name.lower() for one in fields]
    for one in fields:
        if names.count(one.name.lower()) > 1:
            raise InvalidArgument(f"{clause}: {one.name} is declared twice")
