"""Every runtime found keeps what `trivet.testing.check_runtime` asks, and answers as its library does."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.zoo import cases
from trivet.codecs.json_body import BodyDecoder, BodyLimits, encode_predictions
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.runtimes.registry import detect, frameworks
from trivet.serving.lifecycle import ModelSpec, load
from trivet.testing import check_runtime

ALLOWED = Permissions(pickle=True, python=True)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_it_conforms(case, zoo):
    path = zoo(case)
    assert detect(path)[0] == case.framework
    file = detect(path)[1]
    check_runtime(case.framework, file, case.rows[:12], permissions=ALLOWED, tolerance=1e-6)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_it_answers_bit_for_bit_as_its_library_does(case, zoo):
    path = zoo(case)
    model = load(ModelSpec(ModelRef("m"), path), ALLOWED)
    signature = model.info.signature
    decoder = BodyDecoder(signature, BodyLimits())
    for output in case.outputs:
        parameters = {"output": output} if signature.parameters and output != "values" else {}
        for rows in (case.rows, case.rows[:1], case.rows[3:5]):
            body = decoder.decode(json.dumps({"instances": rows}).encode())
            resolved = signature.resolve(parameters, model.info.defaults)
            answer = json.loads(encode_predictions(model.predictor.predict(body[0], resolved)))
            assert_same(answer, case.expect(path, rows, output), case.tolerance)


def assert_same(answer, expected, tolerance=0.0):
    """Compare JSON with what the library gave, in the library's own precision; objects name by name."""
    if isinstance(expected, dict):
        assert all(list(one) == list(expected) for one in answer)
        for name, values in expected.items():
            assert_same([one[name] for one in answer], values, tolerance)
        return
    expected = np.asarray(expected)
    if expected.dtype.kind == "f" and tolerance:
        actual = np.array(answer, expected.dtype)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= tolerance * max(1, np.abs(expected).max())
    elif expected.dtype.kind == "f":
        actual = np.array(answer, expected.dtype)  # null reads as NaN
        assert np.array_equal(actual, expected, equal_nan=True)
    else:
        assert answer == expected.tolist()


def test_the_echo_conforms():
    check_runtime("echo", Path("no artifact"), [1, "two", [3], {"four": None}])


def test_an_application_conforms(monkeypatch):
    monkeypatch.setattr("trivet.containers.registry.ORDER", ("process",))
    folder = Path(__file__).parent / "applications" / "plain"
    check_runtime("container", folder, [1, "two", [3], {"four": None}, 1.25, None])


def test_every_framework_has_a_model_in_the_zoo():
    tested = {case.framework for case in cases()} | {"echo", "container"}  # which have tests above
    assert tested == {name for name, _ in frameworks()}
