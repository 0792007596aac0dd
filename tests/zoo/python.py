"""Python predictors; the oracle runs the class itself, without any server."""

import asyncio
import inspect
import runpy
from functools import cache
from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris

from tests.zoo.base import Case

CHECK = """
from trivet import InvalidArgument


def checked(instances, width):
    '''A predictor checks what it gets: any JSON may come.'''
    for index, one in enumerate(instances):
        numbers = isinstance(one, list) and len(one) == width
        if not numbers or any(isinstance(x, bool) or not isinstance(x, int | float) for x in one):
            raise InvalidArgument(f"expected an array of {width} numbers; got {str(one)[:40]}")
        if any(abs(x) > 1e300 for x in one):
            raise InvalidArgument("expected numbers below 1e300")
    return instances
"""

LINEAR = '''
import json
from pathlib import Path

import numpy as np


class Predictor:
    """A linear model, computed with NumPy."""

    example = [0.0] * 10

    def load(self, artifact):
        self.weights = np.array(json.loads((Path(artifact) / "weights.json").read_text()))

    def predict(self, instances):
        return (np.array(checked(instances, 10), float) * self.weights).sum(axis=1)
'''

AWAITED = '''
import asyncio


class Widest:
    """Answers an object per instance, after a while."""

    example = [1.0, 2.0, 3.0, 4.0]

    async def load(self, artifact):
        await asyncio.sleep(0)
        self.names = ["sepal length", "sepal width", "petal length", "petal width"]

    async def predict(self, instances, parameters):
        await asyncio.sleep(0)
        rows = checked(instances, 4)
        return [{"widest": self.names[row.index(max(row))], "size": max(row)} for row in rows]
'''

STEPS = """
import numpy as np


class Predictor:
    example = [1.0, 2.0, 3.0, 4.0]

    def preprocess(self, instances):
        return np.array(checked(instances, 4), float)

    def predict(self, x, parameters):
        return (x * np.array([0.5, -1.0, 2.0, 0.25])).sum(axis=1)

    def postprocess(self, y):
        return [{"value": value, "large": value > 5} for value in y]
"""


def written(source: str, weights: str = ""):
    def train(folder: Path) -> Path:
        (folder / "predictor.py").write_text(CHECK + source)
        if weights:
            (folder / "weights.json").write_text(weights)
        return folder

    return train


@cache
def loaded(path):
    module = runpy.run_path(str(path / "predictor.py"))
    model = next(one for one in module.values() if hasattr(one, "predict"))()
    if hasattr(model, "load"):
        ended(model.load(str(path)))
    return model


def ended(answer):
    return asyncio.run(answer) if inspect.iscoroutine(answer) else answer


def expect(path, rows, output):
    model = loaded(path)
    values = model.preprocess(rows) if hasattr(model, "preprocess") else rows
    takes_two = "parameters" in inspect.signature(model.predict).parameters
    values = ended(model.predict(values, {}) if takes_two else model.predict(values))
    return model.postprocess(values) if hasattr(model, "postprocess") else values


DIABETES, IRIS = load_diabetes().data[:40].tolist(), load_iris().data[::4].tolist()
WEIGHTS = str([float(w) for w in load_diabetes().data[50]])
CASES = [
    Case("python-linear", "python", written(LINEAR, WEIGHTS), DIABETES, (), expect),
    Case("python-awaited", "python", written(AWAITED), IRIS, (), expect),
    Case("python-steps", "python", written(STEPS), IRIS, (), expect),
]
