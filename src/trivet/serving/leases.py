"""Models that are lent for a call: loaded when somebody first asks, and once, however many ask at once.

Those that nobody has used for longest are given up when there are more than may be kept. Where the code of
a model's author would run, or the operator says so, the model lives in a process of its own (`isolated`), so
that nothing it does ends this one.
"""

import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

from trivet.core.errors import Cancelled
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Closing, Predictor
from trivet.core.signature import Parameters, Signature
from trivet.runtimes import pickles, registry
from trivet.runtimes.base import OwnProcess, Permissions
from trivet.serving.isolated import IsolatedPredictor
from trivet.serving.lifecycle import LoadedModel, ModelInfo, ModelSpec, find, load
from trivet.serving.scoring import Scoring

Isolation = Literal["auto", "always", "never"]
"""Which models get a process of their own: those that run their author's code, all, or none."""

KEPT = 8
"""Models that are kept loaded though nobody uses them."""


class Leases:
    """Lends loaded models to any number of threads; never more than one copy of a model.

    `predict` of what is lent may be called by several threads at once, whatever the model's traits are: where
    it is not thread-safe, one call waits for the other.
    """

    def __init__(self, permissions: Permissions, *, isolate: Isolation = "auto", keep: int = KEPT) -> None:
        self._permissions = permissions
        self._isolate = isolate
        self._keep = keep
        self.alone = threading.Lock()
        """For whoever keeps something beside them that only one thread at a time may change."""

        self._lock = threading.Lock()
        self._held: dict[ModelSpec, _Held] = {}
        self._uses = 0
        self._closed = False

    def __repr__(self) -> str:
        used = sum(1 for held in self._held.values() if held.users)
        return f"<Leases {len(self._held)} models, {used} in use>"

    def lease(self, spec: ModelSpec) -> AbstractContextManager[LoadedModel]:
        """Lend a model for as long as the block runs; it is loaded where it is not.

        Raises what `lifecycle.load` raises, and Cancelled once they are closed. Other threads that ask for
        the same model wait for it.
        """
        return _Lent(self, spec)

    def info(self, spec: ModelSpec) -> ModelInfo:
        """Return what there is to know of a model, which is loaded for it."""
        with self.lease(spec) as model:
            return model.info

    def interrupt(self, spec: ModelSpec) -> None:
        """Break off what runs in this model's own process, which ends it: its callers get Cancelled."""
        held = self._held.get(spec)
        if held is not None and held.isolated is not None:
            held.isolated.interrupt()

    @staticmethod
    def caller() -> int:
        """Return what names this thread for `interrupt_caller`."""
        return threading.get_ident()

    def interrupt_caller(self, caller: int) -> None:
        """Break off the loading of models in processes of their own that this thread waits for."""
        for held in list(self._held.values()):
            if held.loader == caller and held.isolated is not None:
                held.isolated.interrupt()

    def close(self) -> None:
        """Give up all models; nothing is lent any more. Those in use are given up by who uses them last."""
        with self._lock:
            self._closed = True
            left = self._superfluous()
        for one in left:
            one.close()

    def take(self, spec: ModelSpec) -> "_Held":
        """Count one more user."""
        with self._lock:
            if self._closed:
                raise Cancelled(f"{spec.ref}: models are not lent any more")
            held = self._held.get(spec)
            if held is None:
                held = self._held[spec] = _Held()
            held.users += 1
            self._uses += 1
            held.used = self._uses
        return held

    def give_back(self, spec: ModelSpec, held: "_Held") -> None:
        """Count one less, and give up what is too much."""
        with self._lock:
            held.users -= 1
            if held.model is None and not held.users:
                self._held.pop(spec, None)
            left = self._superfluous() if self._closed or len(self._held) > self._keep else ()
        for one in left:
            one.close()

    def loaded(self, spec: ModelSpec, held: "_Held") -> LoadedModel:
        """Load a model unless another thread has."""
        with held.loading:
            if held.model is None:
                held.loader = threading.get_ident()
                try:
                    held.model = self._load(spec, held)
                finally:
                    held.loader = None
            return held.model

    def _load(self, spec: ModelSpec, held: "_Held") -> LoadedModel:
        if self._isolate == "always" or (self._isolate == "auto" and _runs_code(spec)):
            held.isolated = isolated = IsolatedPredictor(spec, self._permissions)
            return LoadedModel(isolated.start(), isolated)
        model = load(spec, self._permissions)
        if model.predictor.traits.thread_safe or model.info.slots > 1:
            return model
        return LoadedModel(model.info, guarded(model.predictor))

    def _superfluous(self) -> list["_Held"]:
        """Take out what is to be given up; called with the lock held."""
        idle = [spec for spec, held in self._held.items() if not held.users]
        idle.sort(key=lambda spec: self._held[spec].used)
        keep = 0 if self._closed else self._keep
        return [self._held.pop(spec) for spec in idle[: max(0, len(idle) - keep)]]


class _Lent:
    """A model for as long as a block runs; SQL enters one for each of its chunks."""

    __slots__ = ("_held", "_leases", "_spec")

    def __init__(self, leases: Leases, spec: ModelSpec) -> None:
        self._leases = leases
        self._spec = spec
        self._held: _Held

    def __enter__(self) -> LoadedModel:
        held = self._held = self._leases.take(self._spec)
        try:
            return held.model or self._leases.loaded(self._spec, held)
        except BaseException:
            self._leases.give_back(self._spec, held)
            raise

    def __exit__(self, *_: object) -> None:
        self._leases.give_back(self._spec, self._held)


class _Held:
    """A model, once it is loaded, how many have it, and the number of the last use."""

    def __init__(self) -> None:
        self.loading = threading.Lock()
        self.model: LoadedModel | None = None
        self.isolated: IsolatedPredictor | None = None
        self.loader: int | None = None
        self.users = self.used = 0

    def close(self) -> None:
        """Give up the model."""
        if self.model is not None and isinstance(self.model.predictor, Closing):
            self.model.predictor.close()


class _Guarded:
    """A predictor that several threads may ask, of which one waits for the other."""

    def __init__(self, predictor: Predictor) -> None:
        self.traits = replace(predictor.traits, thread_safe=True)
        self._predictor = predictor
        self._lock = threading.Lock()
        for name in ("importances", "coefficients"):  # what else it may be asked, and answers to anybody
            if hasattr(predictor, name):
                setattr(self, name, getattr(predictor, name))

    def __repr__(self) -> str:
        return f"<_Guarded {self._predictor!r}>"

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self._predictor.signature

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Predict when nobody else does."""
        with self._lock:
            return self._predictor.predict(instances, parameters)

    def close(self) -> None:
        """Give it up."""
        if isinstance(self._predictor, Closing):
            self._predictor.close()


def guarded(predictor: Predictor) -> Predictor:
    """Return a predictor that any thread may ask."""
    return predictor if isinstance(predictor, Scoring) else _Guarded(predictor)


def _runs_code(spec: ModelSpec) -> bool:
    """Whether to load or to ask this model may run its author's code."""
    framework, path = find(spec.path, spec.framework)
    return isinstance(registry.get_runtime(framework), OwnProcess) or pickles.is_pickle(path)
