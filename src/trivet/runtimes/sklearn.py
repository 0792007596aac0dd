"""scikit-learn models and pipelines, from skops, joblib or pickle files; whatever has `predict` is one.

The answers are those of `predict` and `predict_proba` on a float64 matrix, or on a pandas data frame where
the model picks columns by name. Every part that has `n_jobs` is set to one job, and the feature names that
would only make scikit-learn compare names on every call are dropped from the copy loaded.
"""

import bz2
import logging
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.instances import Column, Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.runtimes import classifier
from trivet.runtimes.base import Artifact, head, need, unreadable
from trivet.runtimes.sklearn_columns import Inputs, inputs_of

log = logging.getLogger("trivet")

_COMPRESSED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00": lzma.LZMADecompressor,
}


class SklearnPredictor:
    """Gives the column `prediction`: whatever `predict` returns, one entry per instance."""

    traits = Traits(native=True)

    def __init__(self, model: Any, inputs: Inputs) -> None:
        self._model = model
        self._rows = inputs.rows
        self.signature = Signature(inputs.specs, (self._output(inputs),))

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Predict; what scikit-learn finds wrong with values is the caller's to mend."""
        values = self._ask(self._model.predict, instances)
        return Predictions({"prediction": values}, instances.count)

    def _ask(self, method: Callable[[Any], Any], instances: Instances) -> Column:
        try:
            return np.asarray(method(self._rows(instances)))
        except ValueError as error:
            raise InvalidArgument(f"scikit-learn refuses these values: {error}") from None

    def _output(self, inputs: Inputs) -> TensorSpec:
        """Describe a prediction from one made of zeros; as any JSON where the model takes none such."""
        try:
            zeros = {spec.name: np.zeros((1, *(n or 1 for n in spec.shape))) for spec in inputs.specs}
            probe = np.asarray(self._model.predict(self._rows(Instances(zeros, 1))))
        except Exception:  # noqa: BLE001 - text and categories; it is only a description
            return TensorSpec("prediction", "json", nullable=True)
        dtype = {"i": "int64", "f": "float64", "b": "bool"}.get(probe.dtype.kind, "json")
        return TensorSpec("prediction", dtype, probe.shape[1:])  # type: ignore[arg-type]


class SklearnClassifier(SklearnPredictor):
    """Gives labels as `predict`, scores as `predict_proba`."""

    def __init__(self, model: Any, inputs: Inputs) -> None:
        super().__init__(model, inputs)
        self._classes = np.asarray(model.classes_)
        classes = tuple(self._classes.tolist())
        option = classifier.OUTPUT if hasattr(model, "predict_proba") else classifier.LABELS_ONLY
        outputs = classifier.outputs(classes, "float64")
        self.signature = Signature(inputs.specs, outputs, classes, (option,))

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Ask for labels, scores, or both."""
        return classifier.answer(
            parameters["output"],
            self._classes,
            labels=lambda: self._ask(self._model.predict, instances),
            scores=lambda: self._ask(self._model.predict_proba, instances),
        )


class SklearnRuntime:
    """Loads skops files with the types that are trusted, pickles only with the operator's permission."""

    def recognises(self, path: Path) -> bool:
        """Look for a skops archive or a pickle, compressed as joblib does or plain."""
        return _is_skops(path) or _is_pickle(head(path))

    def load(self, artifact: Artifact) -> Predictor:
        """Load the model, never falling back from one format to another."""
        if _is_skops(artifact.path):
            model = _load_skops(artifact)
        else:
            artifact.require_pickle()
            need("sklearn", "sklearn")
            model = _quietly(artifact, need("joblib", "sklearn").load)
        if not callable(getattr(model, "predict", None)):
            raise FailedPrecondition(
                f"{artifact.path.name} holds a {type(model).__name__}, which has no predict method"
            )
        inputs = inputs_of(model, artifact.declared)
        for part in _parts(model):
            if hasattr(part, "n_jobs"):
                part.n_jobs = 1
            if not inputs.by_name:
                vars(part).pop("feature_names_in_", None)
        classes = getattr(model, "classes_", None)
        if isinstance(classes, np.ndarray) and classes.ndim == 1:
            return SklearnClassifier(model, inputs)
        return SklearnPredictor(model, inputs)


def _is_skops(path: Path) -> bool:
    if head(path, 4) != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "schema.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _is_pickle(start: bytes) -> bool:
    for magic, decompressor in _COMPRESSED.items():
        if start.startswith(magic):
            try:
                start = decompressor().decompress(start, 64)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):
                return False
            break
    return len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5


def _load_skops(artifact: Artifact) -> Any:
    skops = need("skops.io", "sklearn")
    trusted = list(artifact.permissions.trusted_types)
    try:
        unknown = sorted(set(skops.get_untrusted_types(file=artifact.path)) - set(trusted))
    except Exception as error:  # noqa: BLE001 - a broken archive may raise anything
        raise unreadable(artifact.path, "skops", error) from None
    if unknown:
        raise PermissionDenied(
            f"{artifact.path.name} contains types that are not trusted: {', '.join(unknown)}. If you trust "
            "where it comes from, name them in artifacts.trusted_types"
        )
    return _quietly(artifact, lambda path: skops.load(path, trusted=trusted))


def _quietly(artifact: Artifact, load: Callable[[Path], Any]) -> Any:
    """Load, and turn what scikit-learn warns about into one line of the log."""
    path = artifact.path
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = load(path)
        except ModuleNotFoundError as error:
            raise FailedPrecondition(
                f"{path.name} needs the Python module {error.name!r}, which is not installed"
            ) from None
        except Exception as error:  # noqa: BLE001 - a broken file may raise anything
            raise unreadable(path, "scikit-learn", error) from None
    versions = {(w.message.original_sklearn_version, w.message.current_sklearn_version)  # type: ignore[union-attr]
                for w in caught if w.category.__name__ == "InconsistentVersionWarning"}  # fmt: skip
    for saved, installed in versions:
        log.warning(
            "%s was saved by scikit-learn %s; %s is installed, and may predict differently",
            path.name,
            saved,
            installed,
        )
    return model


def _parts(model: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield a model and every estimator within it, once each."""
    seen = set() if seen is None else seen
    if id(model) in seen:
        return
    seen.add(id(model))
    if isinstance(model, dict):
        inner = list(model.values())
    elif isinstance(model, list | tuple):
        inner = list(model)
    elif hasattr(model, "get_params") and hasattr(model, "__dict__"):
        yield model
        inner = list(vars(model).values())
    else:
        return
    for one in inner:
        yield from _parts(one, seen)


RUNTIME = SklearnRuntime()
