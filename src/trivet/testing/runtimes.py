"""`check_runtime`: what every runtime and its predictors must keep."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trivet.codecs import signature_json
from trivet.codecs.json_body import encode_predictions
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, PermissionDenied
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import AsyncPredictor, Closing, Predictor
from trivet.core.signature import Parameters, Signature, declare
from trivet.runtimes import registry
from trivet.runtimes.base import Artifact, Permissions
from trivet.serving.replica import Awaited

GARBAGE = (b"", b"\x00", b"garbage", b"\x80\x05garbage", b"PK\x03\x04garbage", bytes(range(256)) * 16)


def check_runtime(
    framework: str,
    artifact: Path,
    instances: Sequence[Any],
    *,
    permissions: Permissions | None = None,
    tolerance: float = 0.0,
) -> None:
    """Check a runtime with one of its artifacts and instances that the model takes.

    It must be found by its name and recognise its artifact but no garbage; refuse broken files with a
    ServingError; give every instance one prediction, in order, that JSON can carry; keep the parameters
    it says it has; give the same answers again, after loading again, for one row as for many (up to a
    relative `tolerance`, since BLAS sums in another order for another shape), and from several threads
    if it says that it may be called so. Raises AssertionError that says what is not kept.
    """
    runtime = registry.get_runtime(framework)
    permissions = permissions or Permissions(pickle=True, python=True)
    if artifact.exists():
        assert runtime.recognises(artifact), f"{framework} does not recognise {artifact.name}"
        _check_broken_files(framework, artifact, permissions)
    with ExitStack() as closing:
        predictor, signature = _load(framework, artifact, permissions, closing)
        rows = RowDecoder(signature).decode(instances)
        for parameters in _every_choice(signature):
            whole = _predict(predictor, rows, parameters)
            again, _ = _load(framework, artifact, permissions, closing)
            _same(whole, _predict(again, rows, parameters), 0.0, "loaded again")
            alone = [_predict(predictor, part, parameters) for part in rows.split([1] * rows.count)]
            _same(whole, Predictions.join(alone), tolerance, "row by row")
            empty = rows.count // 2
            halves = [rows.slice(0, empty), rows.slice(empty, rows.count)]
            parts = [_predict(predictor, part, parameters) for part in halves if part.count]
            _same(whole, Predictions.join(parts), tolerance, "in two halves")
            if predictor.traits.thread_safe:
                _check_threads(predictor, rows, parameters, whole)


def _load(
    framework: str, path: Path, permissions: Permissions, closing: ExitStack
) -> tuple[Predictor, Signature]:
    declared = signature_json.read(path if path.is_dir() else path.parent)
    loaded = registry.get_runtime(framework).load(Artifact(path, declared, permissions))
    predictor: Predictor = Awaited(loaded) if isinstance(loaded, AsyncPredictor) else loaded
    if isinstance(predictor, Closing):
        closing.callback(predictor.close)
    return predictor, declare(predictor.signature, declared) if declared else predictor.signature


def _check_broken_files(framework: str, artifact: Path, permissions: Permissions) -> None:
    runtime = registry.get_runtime(framework)
    with TemporaryDirectory() as folder:
        for index, content in enumerate(_broken(artifact)):
            file = Path(folder) / f"{index}{artifact.suffix}"
            file.write_bytes(content)
            assert isinstance(runtime.recognises(file), bool)
            with suppress(FailedPrecondition, PermissionDenied):  # anything else is the runtime's fault
                runtime.load(Artifact(file, None, permissions))
        missing = Path(folder) / "missing"
        assert not runtime.recognises(missing), "a file that is not there was recognised"


def _broken(artifact: Path) -> Sequence[bytes]:
    if not artifact.is_file():
        return GARBAGE
    content = artifact.read_bytes()
    return (*GARBAGE, content[: len(content) // 2], content[:16])


def _every_choice(signature: Signature) -> Sequence[Parameters]:
    defaults = signature.defaults()
    return [
        {**defaults, spec.name: choice} for spec in signature.parameters or () for choice in spec.choices
    ] or [defaults]


def _predict(predictor: Predictor, rows: Instances, parameters: Parameters) -> Predictions:
    predictions = predictor.predict(rows, parameters)
    lengths = {name: len(column) for name, column in predictions.columns.items()}
    assert predictions.count == rows.count, f"{predictions.count} predictions for {rows.count} rows"
    assert set(lengths.values()) == {rows.count}, f"columns of other lengths: {lengths}"
    encode_predictions(predictions)
    return predictions


def _check_threads(
    predictor: Predictor, rows: Instances, parameters: Parameters, expected: Predictions
) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: _predict(predictor, rows, parameters), range(32)))
    for answer in answers:
        _same(expected, answer, 0.0, "from several threads")


def _same(expected: Predictions, actual: Predictions, tolerance: float, how: str) -> None:
    assert list(expected.columns) == list(actual.columns), f"{how}: other columns"
    for name, column in expected.columns.items():
        other = actual.columns[name]
        if column.dtype.kind == "f":
            same = np.allclose(column, other, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            same = column.dtype == other.dtype and column.tolist() == other.tolist()
        assert same, f"{how}: column {name} differs"
