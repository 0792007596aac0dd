"""What a CREATE MODEL needs before BigQuery can run it: the model's files in a bucket, as it reads them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.codecs import signature_json
from trivet.core.errors import FailedPrecondition, InvalidArgument, ServingError, Unimplemented
from trivet.core.predictor import AsyncPredictor
from trivet.core.signature import declare
from trivet.runtimes import registry
from trivet.runtimes.base import Artifact, Permissions
from trivet.serving.lifecycle import find
from trivet.sql.real import onnx_fit, parity, xgboost_1_5
from trivet.sql.real.statement import OURS, CreateModel, literal
from trivet.storage import fetch
from trivet.storage.sources import Buckets
from trivet.storage.targets import Target, target

_MEGABYTES: Mapping[str, int] = {"TENSORFLOW": 450, "TENSORFLOW_LITE": 450, "ONNX": 450, "XGBOOST": 250}
"""How large a model of each of BigQuery's types may be."""

_CONVERTED = {"SKLEARN": "sklearn", "LIGHTGBM": "lightgbm", "CATBOOST": "catboost"}
_ALSO = {"SCIKIT_LEARN": "SKLEARN", "TORCH": "PYTORCH"}
_REFUSED = {
    "PYTORCH": "export it with torch.onnx.export(.., opset_version=17), and import that as ONNX",
    "PYTHON": "deploy it, and create a remote model over its endpoint",
    "CONTAINER": "deploy it, and create a remote model over its endpoint",
}


@dataclass(frozen=True, slots=True)
class _Files:
    """What is to be put into the bucket, by the files' names, as a model of a type of BigQuery's."""

    type: str
    files: Mapping[str, bytes | Path]
    told: str

    @property
    def pattern(self) -> str:
        """What MODEL_PATH names in their folder."""
        return next(iter(self.files)) if len(self.files) == 1 and self.type != "TENSORFLOW" else "*"


@dataclass(frozen=True, slots=True)
class Importer:
    """Puts models where BigQuery finds them; `say` is told what was done, a line for each model."""

    staging: str
    buckets: Buckets | None
    permissions: Permissions
    say: Callable[[str], object]

    def changes(self, statement: CreateModel) -> dict[tuple[int, int], str]:
        """Return what is to be replaced in the text, by places; the files are in the bucket then.

        Raises InvalidArgument, FailedPrecondition and Unimplemented with the statement's position.
        """
        if "REMOTE" in statement.clauses:
            return {}
        if "model" in statement.settings:
            raise InvalidArgument(
                "OPTIONS(model): models that are registered with Trivet are not known to BigQuery: give its "
                f"file, with model_type and model_path{statement.place('model')}"
            )
        path = statement.text("model_path")
        type_ = statement.text("model_type").upper()
        type_ = _ALSO.get(type_, type_)
        if type_ in _REFUSED:
            raise Unimplemented(
                f"OPTIONS(model_type): BigQuery does not import {type_} models: {_REFUSED[type_]}"
                f"{statement.place('model_type')}"
            )
        if not path or (type_ not in _MEGABYTES and type_ not in _CONVERTED):
            return {}  # what is wrong with it BigQuery says
        ours = [statement.settings[name] for name in OURS if name in statement.settings]
        changes = {one.whole: "" for one in ours}
        if not path.startswith("gs://") or type_ in _CONVERTED:
            changes |= self._moved(statement, type_, path)
        if ours:
            named = ", ".join(one.name for one in ours)
            self.say(f"{statement.name}: OPTIONS({named}) left out: BigQuery does not have it")
        return changes

    def _moved(self, statement: CreateModel, type_: str, path: str) -> dict[tuple[int, int], str]:
        try:
            if not self.staging.startswith("gs://"):
                raise InvalidArgument(
                    f"{path} is not in a bucket of Google's: say where models may be put, with --staging "
                    "gs://BUCKET/PREFIX"
                )
            with TemporaryDirectory(prefix="trivet-model-") as folder:
                local = fetch(_whole(path), Path(folder), self.buckets)
                made = self._files(statement, type_, local)
                uri = self._put(made)
        except ServingError as error:
            place = statement.place("model_path")
            raise type(error)(f"model {statement.name}: {error}{place}") from None
        self.say(f"{statement.name}: {made.told}; put into {uri}")
        changes = {statement.settings["model_path"].value: literal(f"{uri}/{made.pattern}")}
        if made.type != type_:
            changes[statement.settings["model_type"].value] = literal(made.type)
        return changes

    def _files(self, statement: CreateModel, type_: str, path: Path) -> _Files:
        if not path.exists():
            raise InvalidArgument(f"{path}: there is no such file or folder")
        if type_ in ("ONNX", *_CONVERTED) and {"INPUT", "OUTPUT"} & statement.clauses:
            raise InvalidArgument("INPUT, OUTPUT: BigQuery reads them from ONNX models; leave them out")
        if type_ in _CONVERTED:
            return self._converted(statement, type_, path)
        if type_ == "ONNX":
            file = find(path, "onnx")[1]
            fitted = onnx_fit.fitted(file)
            if fitted is None:
                return _sized(_Files("ONNX", {"model.onnx": file}, "ONNX, as it is"))
            compared = parity.of_files("onnx", file, fitted[0], "tensors")
            told = f"ONNX, {', '.join(fitted[1])}; {compared}"
            return _sized(_Files("ONNX", {"model.onnx": fitted[0]}, told))
        if type_ == "XGBOOST":
            return self._xgboost(statement, find(path, "xgboost")[1])
        if type_ == "TENSORFLOW" and not (path / "saved_model.pb").is_file():
            raise InvalidArgument(f"{path}: expected the folder of a SavedModel, with saved_model.pb")
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        root = path if path.is_dir() else path.parent
        return _sized(_Files(type_, {str(one.relative_to(root)): one for one in files}, f"{type_}, as it is"))

    def _xgboost(self, statement: CreateModel, file: Path) -> _Files:
        fitted = xgboost_1_5.fitted(file)
        content = fitted if fitted is not None else file.read_bytes()
        if "INPUT" not in statement.clauses and not xgboost_1_5.names_features(content):
            raise InvalidArgument(
                "the XGBoost model does not hold the names and types of its features: name its inputs and "
                "its output, as in INPUT(f0 FLOAT64, ..) OUTPUT(predicted_label FLOAT64)"
            )
        told = "XGBOOST, as it is"
        if fitted is not None:
            compared = parity.of_files("xgboost", file, fitted, "booster")
            told = f"XGBOOST, written as XGBoost 1.5 has it; {compared}"
        suffix = "json" if content.startswith(b"{") else "bst"
        return _sized(_Files("XGBOOST", {f"model.{suffix}": content}, told))

    def _converted(self, statement: CreateModel, type_: str, path: Path) -> _Files:
        from trivet.sql.real import converted

        framework, file = find(path, _CONVERTED[type_])
        artifact = Artifact(file, signature_json.read(file.parent), self.permissions)
        predictor = registry.get_runtime(framework).load(artifact)
        assert not isinstance(predictor, AsyncPredictor)
        signature = predictor.signature
        if artifact.declared:
            signature = declare(signature, artifact.declared)
        made = converted.convert(type_, artifact, predictor, signature, statement.text("output"))
        told = f"{type_} written as ONNX; {made.told}"
        return _sized(_Files("ONNX", {"model.onnx": made.content}, told))

    def _put(self, made: _Files) -> str:
        """Put files into a folder named by their content, unless they are there."""
        contents = {
            name: one if isinstance(one, bytes) else one.read_bytes() for name, one in made.files.items()
        }
        digest = sha256()
        for name, content in contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        where = self.staging.rstrip("/")
        folder = target(where, self.buckets).at(digest.hexdigest()[:16])
        for name, content in contents.items():
            *parents, plain = name.split("/")
            inner: Target = folder
            for parent in parents:
                inner = inner.at(parent)
            if inner.sizes().get(plain) != len(content):
                upload = inner.open(plain)
                upload.file.write(content)
                upload.commit()
        return f"{where}/{digest.hexdigest()[:16]}"


def _whole(path: str) -> str:
    return path.removesuffix("/*").removesuffix("*") if path.endswith("*") else path


def _sized(made: _Files) -> _Files:
    """Raise FailedPrecondition for a model that is too large for BigQuery."""
    sizes = (len(one) if isinstance(one, bytes) else one.stat().st_size for one in made.files.values())
    size, limit = sum(sizes) / 1e6, _MEGABYTES[made.type]
    if size > limit:
        raise FailedPrecondition(f"it has {size:.0f} MB; BigQuery takes models of {limit} MB")
    return made
