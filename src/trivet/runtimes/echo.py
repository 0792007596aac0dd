"""Returns what it gets. For tests, demos and measuring what serving itself costs."""

from pathlib import Path
from typing import Literal

from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Predictor, Traits
from trivet.core.signature import Parameters, Signature, TensorSpec
from trivet.runtimes.base import Artifact

_SIGNATURE = Signature(
    inputs=(TensorSpec("instance", "json", nullable=True),),
    outputs=(TensorSpec("prediction", "json", nullable=True),),
    parameters=None,
    example={"anything": [1, "two", None]},
)


class EchoPredictor:
    """Predicts every instance to be itself."""

    signature = _SIGNATURE
    traits = Traits(native=True, thread_safe=True)

    def predict(self, instances: Instances, parameters: Parameters) -> Predictions:
        """Return the instances."""
        return Predictions({"prediction": instances.columns["instance"]}, instances.count)


class EchoRuntime:
    """Needs no artifact: `trivet serve demo=echo:`."""

    without_artifact: Literal[True] = True

    def recognises(self, path: Path) -> bool:
        """Never: nothing in a file says that it should be echoed."""
        return False

    def load(self, artifact: Artifact) -> Predictor:
        """Ignore the artifact."""
        return EchoPredictor()


RUNTIME = EchoRuntime()
