"""Models of scikit-learn, LightGBM and CatBoost as ONNX, with the columns that they have in Trivet.

What answers is float32 there. The answers of both are compared over made-up rows, and the comparison is told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition
from trivet.core.instances import Column, Instances
from trivet.core.predictor import Predictor
from trivet.core.signature import INTEGERS, Signature
from trivet.runtimes import sklearn
from trivet.runtimes.base import Artifact, need
from trivet.sql.real import onnx_fit, parity
from trivet.sql.real.onnx_fit import CLASSIC, IR, OPSET, library

_OPSETS = {"": OPSET, "ai.onnx.ml": CLASSIC}


@dataclass(frozen=True, slots=True)
class Made:
    """An ONNX model, and how its answers compare with those of what it was made of."""

    content: bytes
    told: str


def convert(type_: str, artifact: Artifact, predictor: Predictor, signature: Signature, output: str) -> Made:
    """Return a model as ONNX; `output` is which answer of a classifier is meant, "" for its labels.

    Raises FailedPrecondition where a library is missing (with the command that installs it), the model cannot
    be converted, or answers otherwise then.
    """
    try:
        model = _CONVERTERS[type_](artifact, signature)
    except FailedPrecondition:
        raise
    except Exception as error:  # noqa: BLE001 - of many libraries
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise FailedPrecondition(
            f"{artifact.path.name} cannot be converted to ONNX: {reason[0][:300]}; export it yourself "
            f"(opset {OPSET}, zipmap off), and import that as ONNX"
        ) from None
    onnx_fit.unzip(model)
    wanted = _wanted(model, signature, output or "labels")
    onnx_fit.outputs(model, wanted)
    spec = signature.inputs[0]
    if len(signature.inputs) == 1 and spec.fields:
        onnx_fit.columns(model, spec.name, spec.fields)
    model.ir_version = min(model.ir_version, IR)
    content = model.SerializeToString()
    rows = parity.made_up(signature)
    parameters = {**signature.defaults(), **({"output": output or "labels"} if signature.classes else {})}
    expected = next(iter(predictor.predict(rows, parameters).columns.values()))
    name = next(iter(wanted))
    return Made(content, parity.told({name: expected}, {name: _ask(content, signature, rows, name)}))


def _wanted(model: Any, signature: Signature, output: str) -> Mapping[str, tuple[str, bool]]:
    """Return the output that ML.PREDICT has in Trivet, and which of the model's own it is."""
    own = [one.name for one in model.graph.output]
    if not signature.classes:
        if len(own) != 1 or signature.outputs[0].shape:
            raise FailedPrecondition("only models of one answer for each row are converted")
        return {signature.outputs[0].name: (own[0], True)}
    if output == "labels":
        return {"predicted_class": (own[0], True)}
    if output == "probabilities":
        return {"scores": (own[1], False)}
    raise FailedPrecondition(f"OPTIONS(output='{output}'): expected labels or probabilities for BigQuery")


def _sklearn(artifact: Artifact, signature: Signature) -> Any:
    convert_sklearn = library("skl2onnx", "skl2onnx onnx").convert_sklearn
    estimator = sklearn.read(artifact)
    options = {id(estimator): {"zipmap": False}} if signature.classes else None
    return convert_sklearn(estimator, "model", _types(signature), target_opset=_OPSETS, options=options)


def _types(signature: Signature) -> list[tuple[str, Any]]:
    types = library("skl2onnx.common.data_types", "skl2onnx onnx")
    only = signature.inputs[0]
    if len(signature.inputs) == 1 and len(only.shape) == 1:
        return [(only.name, types.FloatTensorType([None, only.shape[0]]))]
    kinds = {"string": types.StringTensorType, "bool": types.BooleanTensorType}
    found = []
    for spec in signature.inputs:
        kind = kinds.get(spec.dtype)
        if kind is None:
            kind = types.Int64TensorType if spec.dtype in INTEGERS else types.FloatTensorType
        found.append((spec.name, kind([None, 1])))
    return found


def _lightgbm(artifact: Artifact, signature: Signature) -> Any:
    tools = library("onnxmltools", "onnxmltools onnx")
    types = library("onnxmltools.convert.common.data_types", "onnxmltools onnx")
    booster = need("lightgbm", "lightgbm").Booster(model_file=str(artifact.path))
    spec = _matrix(signature)
    kinds = [(spec.name, types.FloatTensorType([None, spec.shape[0]]))]
    return tools.convert_lightgbm(booster, initial_types=kinds, zipmap=False, target_opset=15)


def _catboost(artifact: Artifact, signature: Signature) -> Any:
    onnx = library("onnx", "onnx")
    spec = _matrix(signature)
    model = need("catboost", "catboost").CatBoost().load_model(str(artifact.path))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        model.save_model(str(file), format="onnx")
        made = onnx.load(str(file))
    old = made.graph.input[0].name
    made.graph.input[0].name = spec.name
    for node in made.graph.node:
        node.input[:] = [spec.name if one == old else one for one in node.input]
    return made


def _matrix(signature: Signature) -> Any:
    spec = signature.inputs[0]
    if len(signature.inputs) != 1 or len(spec.shape) != 1:
        raise FailedPrecondition(
            "it has features that are no numbers, which its ONNX form has not; train it on numbers"
        )
    return spec


_CONVERTERS: Mapping[str, Callable[[Artifact, Signature], Any]] = {
    "SKLEARN": _sklearn,
    "LIGHTGBM": _lightgbm,
    "CATBOOST": _catboost,
}


def _ask(content: bytes, signature: Signature, rows: Instances, name: str) -> Column:
    runtime = need("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    kinds = {one.name: one.type for one in session.get_inputs()}
    spec = signature.inputs[0]
    feed: dict[str, Column] = dict(rows.columns)
    if len(signature.inputs) == 1 and spec.fields:
        matrix = rows.columns[spec.name]
        feed = {field: matrix[:, index : index + 1] for index, field in enumerate(spec.fields)}
    for key, column in feed.items():
        shaped = column.reshape(len(column), -1)
        feed[key] = shaped.astype(np.float32) if kinds[key] == "tensor(float)" else shaped
    (answer,) = session.run([name], feed)
    return np.asarray(answer)
