"""A real server process, asked over HTTP as users ask it."""

import gzip
import http.client
import json
import signal
import socket
import threading
from urllib.parse import urlsplit

import httpx
import jsonschema
import numpy as np
import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.test_runtimes import assert_same
from tests.integration.server import serve
from tests.zoo import cases

CASES = {case.name: case for case in cases()}


@pytest.fixture(scope="module")
def everything(zoo):
    """One server with every model of the zoo, and an echo."""
    models = [f"{case.name}={zoo(case)}" for case in CASES.values()]
    with serve("echo=echo:", *models, "--allow-pickle") as server:
        yield server


def by_name(server, case):
    """Return the rows as objects, their fields in another order than the model's."""
    inputs = server.client.get(f"/v1/models/{case.name}").json()["signature"]["inputs"]
    names = case.names if len(case.names) else [spec["name"] for spec in inputs]
    if len(names) == 1 and inputs[0]["shape"]:
        return [{names[0]: row} for row in case.rows]
    return [dict(reversed(list(zip(names, row, strict=True)))) for row in case.rows]


@pytest.mark.parametrize(
    ("form", "case"),
    [
        *(("arrays", case) for case in CASES.values()),
        *(("objects", case) for case in CASES.values() if case.framework != "python"),
    ],
    ids=str,
)
def test_every_framework_answers_bit_for_bit_over_http(everything, zoo, form, case):
    rows = case.rows if form == "arrays" else by_name(everything, case)
    for output in case.outputs:
        parameters = {"output": output} if output != "values" else None
        for few in (slice(None), slice(0, 1)):
            response = everything.predict(case.name, rows[few], parameters)
            assert response.status_code == 200, response.text
            expected = case.expect(zoo(case), case.rows[few], output)
            assert_same(response.json()["predictions"], expected, case.tolerance)


def test_detailed_answers_hold_labels_and_probabilities(everything):
    case = CASES["sklearn-logistic"]
    answers = {
        output: everything.predict(case.name, case.rows, {"output": output}).json()["predictions"]
        for output in ("labels", "probabilities", "detailed")
    }
    for label, scores, detailed in zip(*answers.values(), strict=True):
        assert detailed == {
            "classes": ["setosa", "versicolor", "virginica"],
            "scores": scores,
            "predicted_class": label,
        }


def test_labels_keep_their_type(everything):
    answers = [
        everything.predict(name, CASES[name].rows[:1]).json()["predictions"][0]
        for name in ("xgboost-binary", "sklearn-logistic", "catboost-mixed")
    ]
    assert [type(answer) for answer in answers] == [int, str, str]


def test_vertex_adds_who_answered(everything):
    path = "/v1/projects/p/locations/l/endpoints/echo"
    response = everything.client.post(f"{path}:predict", json={"instances": [1, {"b64": "aGk="}]})
    assert response.json() == {
        "predictions": [1, {"b64": "aGk="}],
        "deployedModelId": "echo-1",
        "model": "projects/p/locations/l/models/echo",
        "modelDisplayName": "echo",
        "modelVersionId": "1",
    }
    raw = everything.client.post(f"{path}:rawPredict", json={"instances": [1]})
    assert raw.json() == {"predictions": [1]}
    assert raw.headers["x-vertex-ai-deployed-model-id"] == "echo-1"
    assert raw.headers["x-vertex-ai-model-version-id"] == "1"


def test_a_body_needs_no_content_type(everything):
    address = urlsplit(everything.url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    connection.request(
        "POST", "/v1/models/echo:predict", b'{"instances": [1]}', {"Content_Type": "application/json"}
    )
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'{"predictions":[1]}')
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "message"),
    [
        ("GET", "/v1/models/echo:predict", None, {}, 405, "method GET is not allowed here; expected POST"),
        ("POST", "/v1/models", b"{}", {}, 405, "expected GET or HEAD"),
        ("POST", "/nowhere", b"{}", {}, 404, "there is nothing at /nowhere"),
        ("POST", "/v1/models/ech:predict", b"{}", {}, 404, "model 'ech' is not served here"),
        ("POST", "/v1/models/echo/versions/7:predict", b"{}", {}, 404, "has no version '7'; served: 1"),
        ("GET", "/v1/models/nope", None, {}, 404, "model 'nope' is not served here"),
        ("POST", "/v1/models/echo:predict", b"{", {}, 400, "the body is not valid JSON"),
        ("POST", "/v1/models/echo:predict", b"\xff", {}, 400, "the body is not valid JSON"),
        ("POST", "/v1/models/echo:predict", b"x", {"content-encoding": "br"}, 415, "expected gzip or none"),
        ("POST", "/v1/models/echo:predict", b"x", {"content-encoding": "gzip"}, 400, "not valid gzip"),
        ("POST", "/v1/models/echo:predict", b"[" * (33 << 20), {}, 413, "the body exceeds 33554432 bytes"),
        (
            "POST", "/v1/models/echo:predict", gzip.compress(b" " * (33 << 20)), {"content-encoding": "gzip"},
            413, "the body exceeds 33554432 bytes",
        ),
        (
            "POST", "/v1/models/echo:predict", b'{"instances": [1]}', {"x-server-timeout": "soon"},
            400, "X-Server-Timeout: expected a number of seconds above 0; got 'soon'",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_gets_its_status_and_a_json_error(
    everything, method, path, body, headers, status, message
):
    response = everything.client.request(method, path, content=body, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, status)
    assert message in error["message"]
    assert error["status"].isupper()
    assert response.headers["x-request-id"]
    assert everything.predict("echo", [1]).json() == {"predictions": [1]}


@pytest.mark.parametrize("model", ["echo", "xgboost-binary", "onnx-mixed", "python-steps"])
@pytest.mark.parametrize("depth", [50, 99, 150, 500, 900, 5000, 100_000])
@pytest.mark.parametrize("inner", ["[%s]", '{"a":%s}'])
def test_however_deep_a_body_is_nested_it_is_answered_or_refused(everything, model, depth, inner):
    opening, closing = inner.split("%s")
    nested = opening * depth + "1" + closing * depth
    for body in (
        f'{{"instances":[{nested}]}}',
        f'{{"instances":[],"parameters":{{"output":{nested}}}}}',
        nested,
    ):
        response = everything.client.post(f"/v1/models/{model}:predict", content=body)
        if response.status_code != 200:
            assert response.status_code == 400, response.text
            assert len(response.json()["error"]["message"]) < 500
        elif depth > 99:
            assert model == "echo", "only what takes any JSON could answer"
            assert depth <= 100


def test_gzip_and_empty_requests(everything):
    packed = gzip.compress(b'{"instances": [1, 2]}')
    response = everything.client.post(
        "/v1/models/echo:predict", content=packed, headers={"content-encoding": "gzip"}
    )
    assert response.json() == {"predictions": [1, 2]}
    assert everything.predict("xgboost-binary", []).json() == {"predictions": []}


def test_a_request_id_is_echoed_and_logged_with_the_error():
    with serve("echo=echo:", "--log-requests=all") as server:
        good = server.client.get("/readyz", headers={"x-request-id": "my-request-7"})
        assert good.headers["x-request-id"] == "my-request-7"
        bad = server.client.get("/nowhere")
        assert server.stop() == 0
        logged = {line.get("request_id"): line for line in server.log()}
    assert logged["my-request-7"]["status"] == 200
    assert logged[bad.headers["x-request-id"]]["path"] == "/nowhere"


def test_models_describe_themselves(everything):
    models = everything.client.get("/v1/models").json()["models"]
    assert {model["name"] for model in models} == {"echo", *CASES}
    for model in models:
        assert model["placement"]["reason"]
        if model["framework"] == "python":
            continue
        response = everything.predict(model["name"], model["example"]["instances"])
        assert response.status_code == 200 or "categor" in response.text.lower(), response.text


def test_the_openapi_description_is_valid_and_has_every_model(everything):
    document = everything.client.get("/openapi.json").json()
    validate(document)
    assert {f"/v1/models/{name}:predict" for name in CASES} <= set(document["paths"])


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_requests_and_answers_are_as_the_openapi_description_says(everything, case):
    document = everything.client.get("/openapi.json").json()
    operation = document["paths"][f"/v1/models/{case.name}:predict"]["post"]
    asked = operation["requestBody"]["content"]["application/json"]["schema"]
    told = operation["responses"]["200"]["content"]["application/json"]["schema"]
    checker = jsonschema.Draft202012Validator
    for example in asked["examples"]:
        checker(asked).validate(example)
    for output in case.outputs:
        body = {"instances": case.rows, "parameters": {"output": output} if output != "values" else None}
        checker(asked).validate(body)
        checker(told).validate(everything.client.post(f"/v1/models/{case.name}:predict", json=body).json())
    if case.names:
        named = [dict(zip(case.names, row, strict=True)) for row in case.rows]
        checker(asked).validate({"instances": named})


def test_metrics_count_requests_rows_and_time(everything):
    everything.predict("echo", [1, 2, 3])
    everything.client.post("/v1/models/echo:predict", content=b"{")
    text = everything.client.get("/metrics").text
    samples = {
        (sample.name, sample.labels.get("code", sample.labels.get("le"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("model") == "echo"
    }
    assert samples["trivet_requests_total", "OK"] >= 1
    assert samples["trivet_requests_total", "INVALID_ARGUMENT"] >= 1
    assert samples["trivet_batch_rows_sum", None] >= 3
    assert samples["trivet_in_flight_requests", None] == 0
    for name in ("request", "queue", "predict", "load"):
        assert samples[f"trivet_{name}_duration_seconds_count", None] >= 1


def test_many_clients_at_once_get_their_own_answers(everything):
    case = CASES["onnx-binary"]
    expected = everything.predict(case.name, case.rows, {"output": "probabilities"}).json()["predictions"]
    wrong = []

    def ask(index):
        with httpx.Client(base_url=everything.url) as client:
            for _ in range(20):
                body = {"instances": [case.rows[index]], "parameters": {"output": "probabilities"}}
                answer = client.post(f"/v1/models/{case.name}:predict", json=body).json()["predictions"]
                if not np.array_equal(np.float32(answer[0]), np.float32(expected[index])):
                    wrong.append((index, answer))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_newer_version_answers_and_the_older_keeps_its_path(tmp_path):
    write_predictor(tmp_path / "old", "return ['old' for _ in instances]")
    write_predictor(tmp_path / "new", "return ['new' for _ in instances]")
    with serve(f"m@9={tmp_path / 'old'}", f"m@10={tmp_path / 'new'}") as server:
        assert server.predict("m", [0]).json() == {"predictions": ["new"]}
        old = server.client.post("/v1/models/m/versions/9:predict", json={"instances": [0]})
        assert old.json() == {"predictions": ["old"]}


def write_predictor(folder, body):
    folder.mkdir()
    lines = [
        "import time",
        "class Predictor:",
        "    def predict(self, instances, parameters):",
        f"        {body}",
    ]
    (folder / "predictor.py").write_text("\n".join(lines))
    return folder


def test_a_fault_of_the_model_is_told_by_type_and_logged_with_its_traceback(tmp_path):
    write_predictor(tmp_path / "m", "return [1 / one for one in instances]")
    with serve(f"m={tmp_path / 'm'}") as server:
        response = server.predict("m", [0])
        assert response.status_code == 500
        assert response.json()["error"]["message"] == "the model failed: ZeroDivisionError: division by zero"
        assert server.predict("m", [2]).json() == {"predictions": [0.5]}
        assert server.stop() == 0
        logged = [line for line in server.log() if "exception" in line]
    assert "predictor.py" in logged[0]["exception"]
    assert logged[0]["request_id"] == response.headers["x-request-id"]


def test_a_deadline_is_kept_and_the_server_goes_on(tmp_path):
    write_predictor(tmp_path / "m", "time.sleep(instances[0]); return instances")
    with serve(f"m={tmp_path / 'm'}") as server:
        late = server.client.post(
            "/v1/models/m:predict", json={"instances": [2]}, headers={"x-server-timeout": "0.2"}
        )
        assert late.status_code == 504
        assert late.json()["error"]["status"] == "DEADLINE_EXCEEDED"
        assert server.predict("m", [0]).json() == {"predictions": [0]}


def test_a_caller_that_leaves_is_counted_and_its_waiting_work_is_not_run(tmp_path):
    ran = tmp_path / "ran"
    body = f"open({str(ran)!r}, 'a').write(f'{{instances}}'); time.sleep(instances[0]); return instances"
    write_predictor(tmp_path / "m", body)
    with serve(f"m={tmp_path / 'm'}") as server:
        slow = threading.Thread(target=lambda: server.predict("m", [1]))
        slow.start()
        with httpx.Client(base_url=server.url) as other:
            while 'trivet_in_flight_requests{model="m",version="1"} 1' not in other.get("/metrics").text:
                pass
            address = urlsplit(server.url)
            with socket.create_connection((address.hostname, address.port)) as leaves:
                content = b'{"instances": [7], "parameters": {"other": "batch"}}'
                head = b"POST /v1/models/m:predict HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n"
                leaves.sendall(head % len(content) + content)
                while 'trivet_queue_rows{model="m",version="1"} 1' not in other.get("/metrics").text:
                    pass
            left = 'trivet_rejected_requests_total{model="m",reason="caller_left",version="1"} 1'
            while left not in other.get("/metrics").text:
                pass
            slow.join()
            assert other.post("/v1/models/m:predict", json={"instances": [0]}).json() == {"predictions": [0]}
    assert ran.read_text() == "[1][0]"


def test_requests_in_flight_are_finished_and_readiness_goes_first(tmp_path):
    write_predictor(tmp_path / "m", "time.sleep(instances[0]); return instances")
    with serve(f"m={tmp_path / 'm'}", TRIVET_SERVER_DRAIN_WINDOW="1") as server:
        answers = []
        slow = threading.Thread(target=lambda: answers.append(server.predict("m", [1.5]).json()))
        slow.start()
        with httpx.Client(base_url=server.url) as other:
            while "in_flight_requests{" not in other.get("/metrics").text:
                pass
            while other.get("/metrics").text.count('trivet_in_flight_requests{model="m",version="1"} 1') == 0:
                pass
            server.process.send_signal(signal.SIGTERM)
            while (ready := other.get("/readyz")).status_code == 200:
                pass
            assert "draining" in ready.json()["error"]["message"]
            assert other.get("/livez").status_code == 200
        slow.join()
        assert server.process.wait(30) == 0
    assert answers == [{"predictions": [1.5]}]


def test_a_signal_while_a_model_is_being_loaded_ends_it(tmp_path):
    (tmp_path / "predictor.py").write_text(
        "from pathlib import Path\n"
        "class Predictor:\n"
        "    def load(self, artifact):\n"
        "        Path(artifact, 'loading').touch()\n"
        "        while True: pass\n"
        "    def predict(self, instances): ...\n"
    )
    with serve(str(tmp_path), wait="") as server:
        while not (tmp_path / "loading").exists():
            pass
        assert server.stop() == 0


def test_a_second_signal_ends_it_at_once(tmp_path):
    write_predictor(tmp_path / "m", "time.sleep(instances[0]); return instances")
    with serve(f"m={tmp_path / 'm'}", TRIVET_SERVER_DRAIN_WINDOW="60") as server:
        server.process.send_signal(signal.SIGTERM)
        while server.client.get("/readyz").status_code == 200:
            pass
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to serve: name a model"),
        (["nowhere.onnx"], "there is no such file or folder"),
        (["a b=echo:"], "model name 'a b': expected 1 to 63 of"),
        (["x=tensorflo:m"], "unknown framework"),
        (["echo=echo:", "echo=echo:"], "echo: named twice"),
        (["x=ftp://host/m"], "expected a local path or a URI of scheme file, gs or s3"),
    ],
)
def test_a_server_that_cannot_start_says_why(arguments, message, tmp_path):
    (tmp_path / "m").write_bytes(b"")
    with serve(*arguments, wait="", cwd=tmp_path) as server:
        assert server.process.wait(30) == 1
        assert message in server.told()


def test_a_pickle_is_refused_with_the_reason_and_the_way_out(zoo):
    path = zoo(CASES["sklearn-boosted"])
    with serve(str(path), wait="") as server:
        assert server.process.wait(30) == 1
        told = server.told()
    assert "loading it runs whatever code its author put in" in told
    assert "--allow-pickle" in told


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve("echo=echo:", f"--port={port}", wait="") as server:
            assert server.process.wait(30) == 1
            assert f"cannot listen on 127.0.0.1:{port}" in server.told()


def test_the_output_of_a_deployment_is_a_setting(zoo):
    case = CASES["onnx-binary"]
    with serve(f"m={zoo(case)}", "--output=detailed") as server:
        answer = server.predict("m", case.rows[:1]).json()["predictions"][0]
        assert set(answer) == {"classes", "scores", "predicted_class"}
        labels = server.predict("m", case.rows[:1], {"output": "labels"}).json()["predictions"]
        assert labels == [answer["predicted_class"]]


def test_python_code_can_be_forbidden(tmp_path):
    write_predictor(tmp_path / "m", "return instances")
    with serve(str(tmp_path / "m"), "--no-python", wait="") as server:
        assert server.process.wait(30) == 1
        assert "running such code is not allowed here" in server.told()


def test_the_log_is_one_json_object_per_line():
    with serve("echo=echo:") as server:
        assert server.stop(signal.SIGINT) == 0
        lines = server.log()
    assert [set(line) >= {"ts", "level", "msg"} for line in lines] == [True] * len(lines)
    assert json.dumps(lines).count("serving on") == 1
