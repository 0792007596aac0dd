"""Whatever JSON is sent to whichever model: an answer of the right shape, or a 4xx that names the problem."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.server import serve
from tests.zoo import cases

CASES = {case.name: case for case in cases()}

PATHS = [
    "/v1/models/{}:predict",
    "/v1/models/{}/versions/1:predict",
    "/v1/projects/p/locations/l/endpoints/{}:predict",
    "/v1/projects/p/locations/l/endpoints/{}:rawPredict",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.just({"b64": "aGk="}),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def server(zoo):
    models = [f"{case.name}={zoo(case)}" for case in CASES.values()]
    with serve("echo=echo:", *models, "--allow-pickle", "--log-requests=none") as server:
        yield server


def mutated(case):
    """Rows of the case with some values replaced: most fit the signature, and reach the model."""
    row = st.sampled_from(case.rows)

    def change(drawn):
        values, position, value, by_name = drawn
        values = list(values)
        values[position % len(values)] = value
        return dict(zip(case.names, values, strict=True)) if by_name and len(case.names) else values

    return st.tuples(row, st.integers(0, 99), scalars, st.booleans()).map(change)


@pytest.mark.parametrize("name", ["echo", *CASES])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_gets_an_answer_or_a_4xx_that_names_the_problem(server, name, data):
    instance = anything if name == "echo" else st.one_of(mutated(CASES[name]), mutated(CASES[name]), anything)
    instances = data.draw(st.one_of(st.lists(instance, max_size=4), anything))
    body = {"instances": instances}
    if data.draw(st.booleans()):
        body["parameters"] = data.draw(st.one_of(anything, st.just({"output": "detailed"})))
    path = data.draw(st.sampled_from(PATHS)).format(name)
    response = server.client.post(path, content=json.dumps(body))
    if response.status_code == 200:
        assert len(response.json()["predictions"]) == len(instances)
        return
    error = response.json()["error"]
    assert 400 <= response.status_code < 500, (body, error)
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"].startswith(("instances", "parameters", "the body", "expected", "Expected"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@example(body=b'{"instances":[0,"",{"":[]}]}')
def test_any_bytes_get_an_answer_or_a_4xx(server, body):
    for name in ("echo", "onnx-mixed", "sklearn-mixed", "python-steps"):
        response = server.client.post(f"/v1/models/{name}:predict", content=body)
        if response.status_code == 200:  # hypothesis may come upon a request
            assert len(response.json()["predictions"]) == len(json.loads(body)["instances"])
            continue
        assert response.status_code == 400
        assert response.json()["error"]["message"]


def test_the_server_still_answers(server):
    assert server.predict("echo", [1]).json() == {"predictions": [1]}
