"""Models that are Python code: a class with `predict` in a folder's `predictor.py`, or in a file alone.

    class Predictor:
        def load(self, artifact):                  # optional: the folder, a str
        def preprocess(self, instances):           # optional: a list, one value per instance
        def predict(self, instances, parameters):  # or without parameters; the only one there must be
        def postprocess(self, predictions):        # optional: must give one entry per instance

Any of them may be `async def`; then batches are awaited and may overlap. An instance is the JSON value as
sent, or a dict by name where `signature.json` declares inputs. An attribute `idempotent = False` says that
predicting twice does harm: a batch whose process died is then not given to another. What the code raises
goes through: raise `trivet.InvalidArgument` to blame the request.
"""

import ast
import inspect
import types
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, Literal

from trivet.core.errors import FailedPrecondition, ServingError
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import AsyncPredictor, Predictor, Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.runtimes.base import Artifact
from trivet.runtimes.python_imports import ModelPackage
from trivet.runtimes.python_values import Unpack, predictions, unpack

FILE = "predictor.py"
_MAX_SOURCE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Step:
    """One of the methods that an answer goes through."""

    call: Callable[[Any, Parameters], Any]
    awaited: bool


class PythonPredictor:
    """Passes a list of instances through the methods of the user's class."""

    def __init__(
        self, owner: str, signature: Signature, steps: Sequence[_Step], rows: Unpack, traits: Traits
    ) -> None:
        self.signature = signature
        self.traits = traits
        self._owner = owner
        self._rows = rows
        self._calls = [step.call for step in steps]

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Give the column `prediction`; raises Internal unless there is one entry per instance."""
        values: Any = self._rows(instances)
        for call in self._calls:
            values = call(values, parameters)
        return predictions(values, instances.count, self._owner)


class AsyncPythonPredictor:
    """The same, for a class that has an `async def` among its methods."""

    def __init__(
        self,
        owner: str,
        signature: Signature,
        steps: Sequence[_Step],
        rows: Unpack,
        traits: Traits,
        load: Callable[[], Awaitable[Any]] | None,
    ) -> None:
        self.signature = signature
        self.traits = traits
        self._owner = owner
        self._rows = rows
        self._steps = steps
        self._load = load
        self._loading = False

    async def start(self) -> None:
        """Await the class' own `load`, once; the first prediction does it where nobody did before.

        A failure is raised as FailedPrecondition, and the next caller tries again.
        """
        while self._loading:
            await _turn()
        if self._load is None:
            return
        self._loading = True
        try:
            await self._load()
            self._load = None
        finally:
            self._loading = False

    async def predict_async(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Give the column `prediction`; raises Internal unless there is one entry per instance."""
        if self._load is not None:
            await self.start()
        values: Any = self._rows(instances)
        for step in self._steps:
            values = step.call(values, parameters)
            if step.awaited:
                values = await values
        return predictions(values, instances.count, self._owner)


class PythonRuntime:
    """Runs the code only with the operator's permission, and in a process of its own."""

    own_process: Literal[True] = True

    def recognises(self, path: Path) -> bool:
        """Look for `predictor.py` in a folder, or a class with `predict` in a Python file; runs nothing."""
        if path.is_dir():
            return (path / FILE).is_file()
        return path.suffix == ".py" and path.is_file() and _has_predictor(path)

    def load(self, artifact: Artifact) -> Predictor | AsyncPredictor:
        """Run the file, make one object of its class without arguments, and let it load."""
        artifact.require_python()
        file = artifact.path / FILE if artifact.path.is_dir() else artifact.path
        if not file.is_file():
            raise FailedPrecondition(f"{file.name}: there is no such file in the artifact")
        package = ModelPackage(file.parent)
        with package.found_by_plain_names():
            with _told(file):
                made = _class_of(package.load(file), file)()
            load = getattr(made, "load", None)
            if load is not None and not inspect.iscoroutinefunction(load):
                with _told(file):
                    load(str(file.parent))
                load = None
        with _told(file):
            return _predictor(made, load, file, artifact.declared)


def _predictor(
    made: Any, load: Callable[[str], Any] | None, file: Path, declared: Signature | None
) -> Predictor | AsyncPredictor:
    steps = [_Step(_predict_of(made, file), inspect.iscoroutinefunction(made.predict))]
    if method := getattr(made, "preprocess", None):
        steps.insert(0, _step(method))
    if method := getattr(made, "postprocess", None):
        steps.append(_step(method))
    example = declared.example if declared else None
    signature = Signature(
        inputs=(TensorSpec("instance", "json", nullable=True),),
        outputs=(TensorSpec("prediction", "json", nullable=True),),
        parameters=None,
        example=getattr(made, "example", None) if example is None else example,
    )
    rows = unpack((declared and declared.inputs) or signature.inputs)
    owner = type(made).__name__
    traits = Traits(idempotent=bool(getattr(made, "idempotent", True)))
    if load is None and not any(step.awaited for step in steps):
        return PythonPredictor(owner, signature, steps, rows, traits)
    return AsyncPythonPredictor(owner, signature, steps, rows, traits, load and _awaited_load(load, file))


def _has_predictor(path: Path) -> bool:
    if path.stat().st_size > _MAX_SOURCE:
        return False
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    methods = (one for node in body if isinstance(node, ast.ClassDef) for one in node.body)
    return any(isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef) and m.name == "predict" for m in methods)


def _class_of(module: types.ModuleType, file: Path) -> type:
    """Return `Predictor`, or else the only class that the file itself defines with `predict`."""
    found = {
        name: one
        for name, one in vars(module).items()
        if isinstance(one, type) and one.__module__ == module.__name__ and hasattr(one, "predict")
    }
    if "Predictor" in found:
        return found["Predictor"]
    if len(found) != 1:
        listed = f"it has {', '.join(found)}" if found else "it has none"
        raise FailedPrecondition(
            f"{file.name}: expected a class named Predictor, or one class that has predict; {listed}"
        )
    return found.popitem()[1]


def _step(method: Callable[[Any], Any]) -> _Step:
    return _Step(lambda values, _: method(values), inspect.iscoroutinefunction(method))


def _predict_of(made: Any, file: Path) -> Callable[[Any, Parameters], Any]:
    """Return how `predict` is called: with the parameters only where it asks for them."""
    method = made.predict
    shape = inspect.signature(method)
    asked = shape.parameters.get("parameters")
    if asked and asked.kind in (asked.KEYWORD_ONLY, asked.POSITIONAL_OR_KEYWORD) and _fits(shape, 1, asked):
        return lambda values, parameters: method(values, parameters=parameters)
    if _fits(shape, 1):
        return lambda values, _: method(values)
    if _fits(shape, 2):
        return method  # type: ignore[no-any-return]
    raise FailedPrecondition(
        f"{file.name}: {type(made).__name__}.predict has the arguments {shape}; "
        "expected (instances) or (instances, parameters)"
    )


def _fits(shape: inspect.Signature, count: int, keyword: inspect.Parameter | None = None) -> bool:
    try:
        shape.bind(*[None] * count, **({keyword.name: None} if keyword else {}))
    except TypeError:
        return False
    return True


def _awaited_load(load: Callable[[str], Any], file: Path) -> Callable[[], Awaitable[Any]]:
    async def told() -> None:
        with _told(file):
            await load(str(file.parent))

    return told


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Make what the code raises while it loads a FailedPrecondition that says where."""
    try:
        yield
    except ServingError:
        raise
    except (Exception, SystemExit) as error:
        raise _broken(file, error) from error


def _broken(file: Path, error: BaseException) -> FailedPrecondition:
    """Say what the code raised while it loaded, and at which line of the model's own files."""
    own = [f for f in extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(file.parent)]
    where = file.name
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{Path(error.filename).name}, line {error.lineno}"
    elif own:
        where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}"
    return FailedPrecondition(f"{where}: {type(error).__name__}: {str(error)[:400]}")


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the event loop do other things, whichever it is."""
    yield


RUNTIME = PythonRuntime()
