"""TorchServe's model archives, answered by the handler in them, as TorchServe would ask it.

A handler is a function `handle(data, context)`, called once with None to get ready, or a class: its
`initialize(context)` is called once, then `handle(data, context)`, or `preprocess`, `inference` and
`postprocess` where it has no such method. `data` is a list of rows, dicts with the instance under `data` or
`body`; the answer must have one entry for each.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.runtimes import torch_ts
from trivet.runtimes.base import Artifact, need
from trivet.runtimes.python_imports import ModelPackage
from trivet.runtimes.python_values import Unpack, predictions
from trivet.runtimes.python_values import unpack as rows_of
from trivet.runtimes.torch_archive import Unpacked, unpack

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")

Entry = Callable[[list[Any] | None, Any], Any]


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers: its name, its object if it is a class, and what is called with rows and the context."""

    name: str
    made: Any
    entry: Entry
    context: Any
    files: Unpacked


class HandlerPredictor:
    """Passes rows to a handler; it is called by one thread at a time."""

    def __init__(self, handler: Handler, signature: Signature, rows: Unpack) -> None:
        self.signature = signature
        self.traits = Traits(idempotent=bool(getattr(handler.made, "idempotent", True)))
        self._handler = handler
        self._rows = rows

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Give the column `prediction`; raises Internal unless there is one entry per row."""
        rows = [_row(one) for one in self._rows(instances)]
        context = self._handler.context
        context.begin(len(rows))
        try:
            answer = self._handler.entry(rows, context)
        except Exception as error:
            code = getattr(error, "error_code", None)  # a PredictionException, whoever's
            if isinstance(code, int):
                raise _answered(code, str(getattr(error, "message", error))) from error
            raise
        for one in context.request_processor:
            if one.status >= 400:
                raise _answered(one.status, one.phrase)
        if isinstance(answer, list | tuple):
            answer = [_text(one) if isinstance(one, bytes | bytearray) else one for one in answer]
        return predictions(answer, instances.count, self._handler.name)

    def close(self) -> None:
        """Remove the unpacked files, for a process that ends without saying goodbye to its objects."""
        self._handler.files.remove()


def load_archive(artifact: Artifact, device: Any) -> HandlerPredictor:
    """Unpack an archive and get its handler ready.

    Raises FailedPrecondition that says where its code failed, or which module it misses.
    """
    files = unpack(artifact.path)
    torch_ts.provide()
    config = files.file("configFile") or files.file("config")
    context = torch_ts.Context(
        str(files.manifest["model"].get("modelName", "model")),
        files.manifest,
        {"model_dir": str(files.folder), "gpu_id": 0 if device.type == "cuda" else None},
        need("yaml", "torch").safe_load(config.read_text()) if config else {},
    )
    package = ModelPackage(files.folder)
    context.load_module = package.load
    with package.found_by_plain_names(), chdir(files.folder), _told(artifact.path, files):
        handler = _handler(package, files, context)
    declared = artifact.declared or Signature(())
    signature = Signature(
        inputs=(TensorSpec("instance", "json", nullable=True),),
        outputs=(TensorSpec("prediction", "json", nullable=True),),
        example=getattr(handler.made, "example", None) if declared.example is None else declared.example,
    )
    return HandlerPredictor(handler, signature, rows_of(declared.inputs or signature.inputs))


def _handler(package: ModelPackage, files: Unpacked, context: Any) -> Handler:
    """Import the handler and initialise it."""
    name, _, function = str(files.manifest["model"]["handler"]).partition(":")
    stem = name.removesuffix(".py").rpartition("/")[2]
    file = files.folder / f"{stem}.py"
    module = package.load(file) if file.is_file() else _known_to_torchserve(stem)
    if function or hasattr(module, "handle"):
        entry: Entry = getattr(module, function or "handle")
        entry(None, context)
        return Handler(f"{stem}.{function or 'handle'}", None, entry, context, files)
    kind = _class_of(module, stem)
    made = kind()
    if hasattr(made, "initialize"):
        made.initialize(context)
    entry = made.handle if hasattr(made, "handle") else _in_steps(made)
    return Handler(kind.__name__, made, entry, context, files)


def _known_to_torchserve(name: str) -> ModuleType:
    """Import one of TorchServe's own handlers, if it is installed."""
    if name.isidentifier():
        try:
            return import_module(f"ts.torch_handler.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"ts.torch_handler.{name}":
                raise
    raise FailedPrecondition(
        f"the archive asks for the handler {name!r}, which is not in it. TorchServe's own handlers are not "
        "part of Trivet: put a handler of yours into the archive (--handler handler.py), or install "
        "torchserve beside Trivet"
    )


def _class_of(module: ModuleType, stem: str) -> type:
    found = [
        one
        for one in torch_ts.list_classes_from_module(module)
        if hasattr(one, "handle") or hasattr(one, "inference")
    ]
    if len(found) != 1:
        listed = f"it has {', '.join(one.__name__ for one in found)}" if found else "it has none"
        raise FailedPrecondition(
            f"{stem}.py: expected a function handle(data, context), or one class with handle or inference; "
            f"{listed}"
        )
    return found[0]


def _in_steps(made: Any) -> Entry:
    steps = [getattr(made, name, None) for name in ("preprocess", "inference", "postprocess")]

    def handle(data: Any, context: Any) -> Any:
        for step in steps:
            data = step(data) if step else data
        return data

    return handle


def _row(instance: Any) -> Any:
    """Return an instance as handlers are given it: a dict with `data` or `body`.

    An object that has neither is found by its own keys, too; {"b64": ...} is the bytes that it stands for.
    """
    if not isinstance(instance, dict):
        return {"body": instance}
    if list(instance) == ["b64"]:
        return {"body": _bytes(instance)}
    row = {key: _bytes(one) if _is_b64(one) else one for key, one in instance.items()}
    return row if "data" in row or "body" in row else {**row, "body": row}


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"]


def _bytes(value: dict[str, Any]) -> bytes:
    try:
        return b64decode(value["b64"], validate=True)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"b64: expected bytes as base64: {error}") from None


def _text(value: bytes | bytearray) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Internal("the handler answered with bytes that are no UTF-8; answer with JSON") from None


def _answered(code: int, message: str) -> ServingError:
    text = f"the handler answered {code}: {message}"
    return InvalidArgument(text) if 400 <= code < 500 else Internal(text)


@contextmanager
def _told(archive: Path, files: Unpacked) -> Iterator[None]:
    """Make what the code raises while it loads a FailedPrecondition that says where, and what is missing."""
    try:
        yield
    except ServingError as error:
        raise type(error)(f"{archive.name}: {error}") from error
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"{archive.name}: its handler needs the Python module {error.name}, which is not installed"
            f"{_missing(files)}. Trivet installs nothing that an archive requires: install it beside Trivet"
        ) from error
    except (Exception, SystemExit) as error:
        own = [f for f in extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(files.folder)]
        where = f": {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""
        text = f"{archive.name}{where}: {type(error).__name__}: {str(error)[:400]}"
        raise FailedPrecondition(text) from error


def _missing(files: Unpacked) -> str:
    """Name what the archive's requirements list and nobody has installed."""
    file = files.file("requirementsFile") or files.folder / "requirements.txt"
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    listed = {found[1]: line.strip() for line in lines if (found := _REQUIREMENT.match(line.strip()))}
    absent = [line for name, line in listed.items() if not _is_installed(name)]
    return f" (of its requirements, these are not: {', '.join(absent[:20])})" if absent else ""


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True
