"""Small predictors for tests of the data plane; they have no framework, but are real predictors."""

import numpy as np

from trivet.core.errors import InvalidArgument
from trivet.core.instances import Instances, Predictions
from trivet.core.predictor import Traits
from trivet.core.signature import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "float64"),), (TensorSpec("y", "float64"),))


def rows(count, value=1.0):
    return Instances.of({"x": np.full(count, value)})


class Doubler:
    """Predicts 2x; refuses negative numbers, fails on 13, loses a row on 99; remembers its batches."""

    signature = SIGNATURE
    traits = Traits(native=True, thread_safe=True)

    def __init__(self):
        self.batches = []

    def predict(self, instances, parameters):
        self.batches.append(instances.count)
        x = instances.columns["x"]
        if (x < 0).any():
            raise InvalidArgument("negative")
        if (x == 13).any():
            raise ZeroDivisionError("unlucky")
        if (x == 99).any():
            return Predictions.of({"y": x[:-1]})
        return Predictions.of({"y": x * 2})
