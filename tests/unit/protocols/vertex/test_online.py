import base64
import json
from dataclasses import replace

import pytest

from tests.unit.protocols.vertex.conftest import GAPIC, PARENT
from tests.unit.serving.models import Doubler
from trivet.core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from trivet.core.instances import Predictions
from trivet.core.signature import ParameterSpec

ENDPOINT = f"/v1/{PARENT}/endpoints/e"
IDS = {
    "deployedModelId": "d1",
    "model": f"{PARENT}/models/m",
    "modelDisplayName": "My model",
    "modelVersionId": "1",
}


def wrapped(body):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    return {"httpBody": {"contentType": "application/json", "data": data}}


@pytest.mark.parametrize("prefix", ["", "/"])
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_predict_says_who_answered(echo, prefix, version):
    path = f"{prefix}/{version}/{PARENT}/endpoints/e:predict"
    answer = await echo.ask(path, {"instances": [1, {"b64": "aGk="}], "parameters": None}, GAPIC)
    assert answer[0] == 200
    assert answer[2] == {"predictions": [1, {"b64": "aGk="}], **IDS}


async def test_raw_predict_says_so_in_headers(echo):
    for verb in ("rawPredict", "streamRawPredict"):
        status, headers, body = await echo.ask(f"{ENDPOINT}:{verb}", {"instances": [1]})
        assert (status, body) == (200, {"predictions": [1]})
        assert "x-vertex-ai-endpoint-id: e\r\n" in headers
        assert "x-vertex-ai-deployed-model-id: d1\r\n" in headers
        assert f"x-vertex-ai-model: {PARENT}/models/m\r\n" in headers
        assert "x-vertex-ai-model-version-id: 1\r\n" in headers


async def test_a_raw_body_may_be_wrapped(echo):
    status, headers, body = await echo.ask(f"{ENDPOINT}:rawPredict", wrapped({"instances": [1]}), GAPIC)
    assert status == 200
    assert headers.startswith("content-type: application/json\r\n")
    assert "x-vertex-ai-deployed-model-id: d1\r\n" in headers
    assert body["contentType"] == "application/json"
    assert base64.b64decode(body["data"]) == b'{"predictions":[1]}'
    _, _, parts = await echo.ask(f"{ENDPOINT}:streamRawPredict", wrapped({"instances": [1]}), GAPIC)
    assert parts == [body]


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (wrapped({"instances": [1]}), b""),
        ({**wrapped({"instances": [1]}), "more": 1}, GAPIC),
        ({"httpBody": "x"}, GAPIC),
        ({"httpBody": {"data": "=not base64="}}, GAPIC),
    ],
)
async def test_what_only_looks_wrapped_is_the_models(echo, body, query):
    status, _, answer = await echo.ask(f"{ENDPOINT}:rawPredict", body, query)
    assert status == 400
    assert "unknown key" in answer["error"]["message"]


@pytest.mark.parametrize("extra", [{}, {"endpoint": "projects/p/locations/us-central1/endpoints/e"}])
@pytest.mark.parametrize("name", ["httpBody", "http_body"])
async def test_a_wrapped_body_has_every_form_of_proto_json(echo, name, extra):
    plain = b'{"instances":["?>?>"]}'
    for data in (base64.b64encode(plain), base64.urlsafe_b64encode(plain).rstrip(b"=")):
        body = {name: {"content_type": None, "data": data.decode(), "extensions": None}, **extra}
        _, _, answer = await echo.ask(f"{ENDPOINT}:rawPredict", body, GAPIC)
        assert base64.b64decode(answer["data"]) == b'{"predictions":["?>?>"]}'
    body = {name: {"data": None}, **extra}
    _, _, answer = await echo.ask(f"{ENDPOINT}:rawPredict", body, GAPIC)
    assert "not valid JSON" in answer["error"]["message"]


async def test_an_error_is_not_wrapped(echo):
    for verb in ("rawPredict", "streamRawPredict"):
        status, _, body = await echo.ask(f"{ENDPOINT}:{verb}", wrapped({"instances": 1}), GAPIC)
        assert (status, body["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_the_split_decides_who_answers_every_method(online):
    online.serve("p/us-central1/e", {"d2": 100}, Doubler(), "echo")
    assert (await online.ask(f"{ENDPOINT}:predict", {"instances": [7]}))[2]["deployedModelId"] == "d2"
    body = {"inputs": [{"stringVal": ["x"]}]}
    assert (await online.ask(f"{ENDPOINT}:directPredict", body))[2]["outputs"][0]["stringVal"] == ["x"]
    online.serve("p/us-central1/e", {"d1": 50, "d2": 50}, "echo", "echo")
    told = [(await online.ask(f"{ENDPOINT}:rawPredict", {"instances": [1]}))[1] for _ in range(60)]
    assert {"id: d1" in one for one in told} == {True, False}


async def test_plain_names_are_found_under_any_parent(online):
    online.serve("e", {"d1": 100}, "echo")
    _, _, body = await online.ask("/v1/projects/q/locations/l/endpoints/e:predict", {"instances": [1]})
    assert body["model"] == "projects/q/locations/l/models/m"
    assert body["modelDisplayName"] == "m"
    assert (await online.ask("/v1/models/e:predict", {"instances": [1]}))[2] == {"predictions": [1]}
    path = "/v1/models/e/versions/1:predict"
    assert (await online.ask(path, {"instances": [1]}))[2] == {"predictions": [1]}


async def test_an_endpoint_of_the_catalog_goes_before_a_plain_name(online):
    online.serve("e", {"d1": 100}, Doubler())
    online.serve("p/us-central1/e", {"d1": 100}, "echo")
    assert (await online.ask(f"{ENDPOINT}:predict", {"instances": [7]}))[2]["predictions"] == [7]
    path = "/v1/projects/other/locations/us-central1/endpoints/e:predict"
    assert (await online.ask(path, {"instances": [7]}))[2]["predictions"] == [14]


async def test_an_endpoint_of_the_catalog_is_not_another_projects(online):
    for name in ("e", "p/us-central1/e"):
        online.serve(name, {"d1": 100}, "echo", anywhere=False)
    assert (await online.ask(f"{ENDPOINT}:predict", {"instances": [7]}))[2]["predictions"] == [7]
    assert (await online.ask("/v1/models/e:predict", {"instances": [1]}))[2] == {"predictions": [1]}
    other = "projects/other/locations/us-central1/endpoints/e"
    with pytest.raises(NotFound, match=f"nothing is deployed at {other}"):
        online.protocol.hot(f"/v1/{other}:predict")


async def test_what_is_not_there_is_named(online):
    with pytest.raises(Unavailable):
        online.protocol.hot(f"{ENDPOINT}:predict")
    online.serve("p/us-central1/e", {}, "echo")
    with pytest.raises(NotFound, match=f"nothing is deployed at {PARENT}/endpoints/x"):
        online.protocol.hot(f"/v1/{PARENT}/endpoints/x:explain")
    for verb in ("predict", "rawPredict", "directPredict", "directRawPredict", "explain"):
        with pytest.raises(FailedPrecondition, match="no deployed model that takes traffic"):
            online.protocol.hot(f"{ENDPOINT}:{verb}")
    for verb in ("deployModel", "invoke", "predictx"):
        assert online.protocol.hot(f"{ENDPOINT}:{verb}") is None


async def test_an_unknown_model_is_told_plain_names_alone(online):
    with pytest.raises(Unavailable):
        online.protocol.hot("/v1/models/x:predict")
    online.serve("p/us-central1/e", {"d1": 100}, "echo")
    with pytest.raises(NotFound, match=r"model 'x' is not served here; served: none$"):
        online.protocol.hot("/v1/models/x:predict")
    for number in range(10, 32):
        online.serve(f"m{number}", {"d1": 100}, "echo")
    with pytest.raises(NotFound, match=r"served: m10, m11, .*, m29 and 2 more$"):
        online.protocol.hot("/v1/models/x:predict")


async def test_explain_is_for_models_that_can(echo):
    status, _, body = await echo.ask(f"{ENDPOINT}:explain", {"instances": [1]})
    assert (status, body["error"]["status"]) == (501, "UNIMPLEMENTED")
    assert "does not explain its predictions" in body["error"]["message"]


class Explains(Doubler):
    """Says of its only feature that it adds everything."""

    signature = replace(Doubler.signature, parameters=(ParameterSpec("output", ("values", "explanations")),))

    def predict(self, instances, parameters):
        assert parameters == {"output": "explanations"}
        values = next(iter(instances.columns.values())).astype(float)
        columns = {"prediction": 2 * values, "value": 2 * values, "baseline": values - values}
        return Predictions({**columns, "attributions": 2 * values[:, None]}, instances.count)


async def test_explain_says_what_each_feature_adds(online):
    online.serve("p/us-central1/e", {"d1": 100}, Explains())
    status, _, body = await online.ask(f"{ENDPOINT}:explain", {"instances": [7, 1], "parameters": None})
    assert status == 200
    assert body["predictions"] == [14, 2]
    assert body["deployedModelId"] == "d1"
    assert body["explanations"][0] == {
        "attributions": [
            {
                "baselineOutputValue": 0,
                "instanceOutputValue": 14,
                "featureAttributions": {"x": 14},
                "outputName": "prediction",
                "approximationError": 0,
            }
        ]
    }
    status, _, body = await online.ask(f"{ENDPOINT}:explain", {"instances": []})
    assert (status, body["predictions"]) == (200, [])


async def test_direct_predict_takes_and_gives_tensors(doubler):
    body = {"inputs": [{"dtype": 4, "shape": ["2"], "doubleVal": [1, 2.5]}]}
    status, _, answer = await doubler.ask(f"{ENDPOINT}:directPredict", body, GAPIC)
    assert status == 200
    assert answer == {"outputs": [{"dtype": "DOUBLE", "doubleVal": [2.0, 5.0], "shape": ["2"]}]}
    _, _, parts = await doubler.ask(f"{ENDPOINT}:serverStreamingPredict", body, GAPIC)
    assert parts == [answer]
    body = {"endpoint": "e", "parameters": None, "inputs": [{"shape": None, "double_val": [1, 2.5]}]}
    assert (await doubler.ask(f"{ENDPOINT}:directPredict", body, GAPIC))[2] == answer


@pytest.mark.parametrize(
    ("verb", "body", "status", "said"),
    [
        ("directPredict", b"{", 400, "not valid JSON"),
        ("directPredict", {"inputs": 1}, 400, "the body: Expected `array`"),
        ("directPredict", b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "the body"),
        ("directPredict", {"inputs": []}, 400, "inputs: expected 1 tensors (x)"),
        ("directPredict", {"inputs": [{"stringVal": ["x"]}]}, 400, "instances[0]: expected float64"),
        ("directPredict", {"inputs": [{"doubleVal": [13]}]}, 500, "the model failed: ZeroDivisionError"),
        ("serverStreamingPredict", {"inputs": [{"doubleVal": [-1]}]}, 400, "negative"),
        ("directRawPredict", {"input": "=x="}, 400, "the body"),
        ("directRawPredict", {"input": ""}, 400, "not valid JSON"),
        ("directRawPredict", {"input": "e30="}, 400, "instances: expected an array"),
    ],
)
async def test_direct_calls_say_what_is_wrong(doubler, verb, body, status, said):
    got, _, answer = await doubler.ask(f"{ENDPOINT}:{verb}", body)
    assert (got, said in answer["error"]["message"]) == (status, True), answer


class Refuses(Doubler):
    """Answers with an error that was raised for no other."""

    def __init__(self, error):
        self.error = error

    def predict(self, instances, parameters):
        raise self.error


@pytest.mark.parametrize("verb", ["predict", "rawPredict"])
@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (Internal("the container answered 500: 'x'"), ["m@1: the container answered 500: 'x'"]),
        (InvalidArgument("no"), []),
        (DeadlineExceeded("late"), []),
        (Unavailable("away"), []),
    ],
)
async def test_what_only_the_operator_can_mend_is_logged(online, caplog, verb, error, logged):
    online.serve("p/us-central1/e", {"d1": 100}, Refuses(error))
    status, _, answer = await online.ask(f"{ENDPOINT}:{verb}", {"instances": [1]})
    assert status >= 400
    assert str(error) in answer["error"]["message"]
    told = [record for record in caplog.records if record.name == "trivet"]
    assert [record.getMessage() for record in told] == logged
    assert {record.levelname for record in told} <= {"ERROR"}
    assert {record.request_id for record in told} <= {"id"}


async def test_nesting_has_an_end_on_both_ways(echo):
    tensor = {"stringVal": ["x"]}
    for _ in range(400):
        tensor = {"listVal": [tensor]}
    status, _, answer = await echo.ask(f"{ENDPOINT}:directPredict", {"inputs": [tensor]})
    assert status == 400
    assert "nested too deeply" in answer["error"]["message"]


async def test_direct_raw_predict_takes_a_body_as_bytes(echo):
    given = base64.b64encode(b'{"instances": [1, "x"]}').decode()
    body = {"methodName": "/tensorflow.serving.PredictionService/Predict", "input": given}
    status, _, answer = await echo.ask(f"{ENDPOINT}:directRawPredict", body, GAPIC)
    assert status == 200
    assert base64.b64decode(answer["output"]) == b'{"predictions":[1,"x"]}'


async def test_callers_of_a_translated_answer_keep_their_request_id(doubler, caplog):
    caplog.set_level("ERROR", "trivet")
    await doubler.ask(f"{ENDPOINT}:directPredict", {"inputs": [{"doubleVal": [13]}]})
    assert [record.request_id for record in caplog.records] == ["id"]
