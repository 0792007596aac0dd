"""gRPC on the TLS port, with Google's own clients."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
import uvloop
from google.api_core import exceptions
from google.cloud import aiplatform_v1, aiplatform_v1beta1
from google.longrunning import operations_pb2
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2

from tests.integration.gateway import Answered, refused, running

HOME = "projects/p/locations/us-central1"
ENDPOINT = f"{HOME}/endpoints/1"
RECORDED = {
    "name": ENDPOINT,
    "displayName": "scoring",
    "createTime": "2026-01-02T03:04:05.678Z",
    "deployedModels": [
        {"id": "7", "model": f"{HOME}/models/m@1", "dedicatedResources": {"minReplicaCount": 1}},
    ],
    "trafficSplit": {"7": 100},
    "notKnownToTheSdk": True,
}


@pytest.fixture(scope="module", params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def gateway(request, tmp_path_factory):
    with running(tmp_path_factory.mktemp("data"), request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_recorded(gateway):
    gateway.upstream.forget()


@pytest.fixture
def make(gateway):
    """Return a function that makes a GAPIC client of a class, over gRPC on the TLS port."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(gateway.client(kind))


def test_a_unary_call_is_a_request_and_its_answer_a_message(gateway, make):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered(RECORDED)
    found = make(aiplatform_v1.EndpointServiceClient).get_endpoint(
        name=ENDPOINT, timeout=20, metadata=[("authorization", "Bearer x"), ("x-evil-bin", b"\0")]
    )
    assert (found.name, found.display_name, found.traffic_split) == (ENDPOINT, "scoring", {"7": 100})
    assert found.create_time.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert found.deployed_models[0].dedicated_resources.min_replica_count == 1
    (asked,) = gateway.upstream.asked
    assert asked.query == {"$alt": ["json;enum-encoding=int"]}
    assert asked.headers["x-goog-request-params"] == f"name={ENDPOINT}"
    assert asked.headers["authorization"] == "Bearer x"
    assert "gapic" in asked.headers["x-goog-api-client"]
    assert 0 < float(asked.headers["x-server-timeout"]) <= 20
    assert not {name for name in asked.headers if name.endswith("-bin") or name.startswith("grpc-")}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_may_ask_for_an_address_or_a_name(gateway, host):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered(RECORDED)
    credentials = grpc.ssl_channel_credentials(gateway.ca)
    kind = aiplatform_v1.EndpointServiceClient
    with grpc.secure_channel(gateway.tls.replace("localhost", host), credentials) as channel:
        client = kind(transport=kind.get_transport_class("grpc")(channel=channel))
        assert client.get_endpoint(name=ENDPOINT, timeout=20).display_name == "scoring"


def test_a_call_without_a_deadline_has_no_timeout(gateway, make):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered(RECORDED)
    make(aiplatform_v1.EndpointServiceClient).get_endpoint(name=ENDPOINT, timeout=None)
    assert "x-server-timeout" not in gateway.upstream.asked[0].headers


def test_a_list_is_paged_by_the_client(gateway, make):
    def page(asked):
        token = asked.query.get("pageToken", ["0"])[0]
        more = {"nextPageToken": "1"} if token == "0" else {}
        return Answered({"endpoints": [{"name": f"{HOME}/endpoints/{token}"}], **more})

    gateway.upstream.answers["GET", f"/v1/{HOME}/endpoints"] = page
    found = make(aiplatform_v1.EndpointServiceClient).list_endpoints(parent=HOME)
    assert [one.name for one in found] == [f"{HOME}/endpoints/0", f"{HOME}/endpoints/1"]


def test_predictions_keep_their_values_and_say_which_model_answered(gateway, make):
    def predict(asked):
        content = {
            "predictions": asked.json.get("instances", []),
            "deployedModelId": "7",
            "modelVersionId": "1",
        }
        return Answered(content, headers={"x-vertex-ai-model": f"{HOME}/models/m"})

    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:predict"] = predict
    rows = [[1.0, 2.5, "ä", None, True], {"a": {"b": []}, "c": ""}]
    instances = [json_format.ParseDict(row, struct_pb2.Value()) for row in rows]
    client = make(aiplatform_v1.PredictionServiceClient)
    found = client.predict(endpoint=ENDPOINT, instances=instances, parameters=struct_pb2.Value())
    assert [json_format.MessageToDict(one) for one in found._pb.predictions] == rows
    assert (found.deployed_model_id, found.model_version_id) == ("7", "1")
    request = aiplatform_v1.PredictRequest.pb()(endpoint=ENDPOINT).SerializeToString()
    with gateway.channel() as to:
        path = "/google.cloud.aiplatform.v1.PredictionService/Predict"
        _, call = to.unary_unary(path).with_call(request, timeout=30)
    assert ("x-vertex-ai-model", f"{HOME}/models/m") in call.initial_metadata()


def test_raw_predictions_are_passed_as_they_are(gateway, make):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:rawPredict"] = lambda asked: Answered(
        asked.body[::-1], headers={"content-type": "text/csv"}
    )
    found = make(aiplatform_v1.PredictionServiceClient).raw_predict(
        {"endpoint": ENDPOINT, "http_body": {"content_type": "application/octet-stream", "data": b"\0\1\2"}}
    )
    assert (found.data, found.content_type) == (b"\2\1\0", "text/csv")
    assert gateway.upstream.asked[0].headers["content-type"] == "application/octet-stream"


def test_a_large_message_is_answered(gateway, make):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:predict"] = lambda asked: Answered(
        {"predictions": [len(row) for row in asked.json["instances"]]}
    )
    instances = [json_format.ParseDict([0.5] * 20_000, struct_pb2.Value()) for _ in range(5)]
    found = make(aiplatform_v1.PredictionServiceClient).predict(endpoint=ENDPOINT, instances=instances)
    assert list(found.predictions) == [20_000] * 5


def test_a_message_that_is_too_large_is_refused(tmp_path):
    body = {"content_type": "text/plain", "data": b"x" * 2000}
    with running(tmp_path, max_message_bytes=1000) as gateway:
        with (
            gateway.client(aiplatform_v1.PredictionServiceClient) as client,
            pytest.raises(exceptions.ResourceExhausted, match="larger than max"),
        ):
            client.raw_predict({"endpoint": ENDPOINT, "http_body": body})
        assert not gateway.upstream.asked


def test_calls_under_way_hold_so_much_together(tmp_path):
    """One message alone may be larger than all together."""
    go = threading.Event()

    def answered(asked):
        assert go.wait(60)
        return Answered(b"done")

    with (
        running(tmp_path, max_held_bytes=3000) as gateway,
        gateway.client(aiplatform_v1.PredictionServiceClient) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:rawPredict"] = answered

        def ask(size):
            body = {"content_type": "text/plain", "data": b"x" * size}
            return client.raw_predict({"endpoint": ENDPOINT, "http_body": body}, timeout=60).data

        def stream(size):
            body = {"content_type": "text/plain", "data": b"x" * size}
            return list(client.stream_raw_predict({"endpoint": ENDPOINT, "http_body": body}, timeout=60))

        with ExitStack() as ends:
            ends.callback(go.set)
            waiting = [pool.submit(ask, 1200) for _ in range(2)]
            gateway.upstream.await_asked(2)
            for more in (ask, stream):
                with pytest.raises(exceptions.ResourceExhausted, match="calls under way hold 2,"):
                    more(1200)
        assert [one.result() for one in waiting] == [b"done"] * 2
        assert ask(5000) == b"done"


def test_answers_are_as_large_as_they_are(gateway, make):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:rawPredict"] = Answered(b"x" * 40_000_000)
    transport = aiplatform_v1.PredictionServiceClient.get_transport_class("grpc")
    unlimited = gateway.channel(**{"grpc.max_receive_message_length": -1})  # as the SDK's own channels
    with aiplatform_v1.PredictionServiceClient(transport=transport(channel=unlimited)) as client:
        assert len(client.raw_predict({"endpoint": ENDPOINT}).data) == 40_000_000


def test_predictions_share_a_connection_and_changes_get_their_own(gateway, make):
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:predict"] = Answered({"predictions": []})
    gateway.upstream.answers["POST", f"/v1/{ENDPOINT}:undeployModel"] = Answered({})
    for _ in range(3):
        make(aiplatform_v1.PredictionServiceClient).predict(endpoint=ENDPOINT, instances=[])
    for _ in range(2):
        make(aiplatform_v1.EndpointServiceClient).undeploy_model(
            endpoint=ENDPOINT, deployed_model_id="7", traffic_split={}
        )
    connections = [asked.connection for asked in gateway.upstream.asked]
    assert len(set(connections[:3])) == 1
    assert len(set(connections)) == 3


def test_operations_are_followed_to_their_end(gateway, make):
    name = f"{HOME}/operations/9"
    done = {
        "name": name,
        "done": True,
        "response": {
            "@type": "type.googleapis.com/google.cloud.aiplatform.v1.UploadModelResponse",
            "model": f"{HOME}/models/5",
            "modelVersionId": "1",
        },
        "metadata": {"@type": "type.googleapis.com/google.cloud.aiplatform.v1.UploadModelOperationMetadata"},
    }
    gateway.upstream.answers["POST", f"/v1/{HOME}/models:upload"] = Answered({"name": name})
    gateway.upstream.answers["GET", f"/ui/{name}"] = Answered(done)
    client = make(aiplatform_v1.ModelServiceClient)
    operation = client.upload_model(parent=HOME, model={"display_name": "m"})
    assert operation.result(timeout=30).model == f"{HOME}/models/5"
    gateway.upstream.answers["GET", f"/ui/{HOME}/operations"] = Answered({"operations": [done]})
    gateway.upstream.answers["POST", f"/ui/{name}:wait"] = Answered(done)
    gateway.upstream.answers["POST", f"/ui/{name}:cancel"] = Answered({})
    gateway.upstream.answers["DELETE", f"/ui/{name}"] = Answered({})
    assert client.list_operations({"name": HOME}).operations[0].done
    waited = client.wait_operation({"name": name})  # bytes: the SDK forgets to read them
    assert operations_pb2.Operation.FromString(waited).done
    client.cancel_operation({"name": name})
    client.delete_operation({"name": name})


def test_the_preview_api_is_there_too(gateway, make):
    name = f"{HOME}/operations/9"
    answer = {
        "name": name,
        "done": True,
        "response": {"@type": "type.googleapis.com/google.cloud.aiplatform.v1beta1.DeployModelResponse"},
    }
    gateway.upstream.answers["POST", f"/v1beta1/{ENDPOINT}:deployModel"] = Answered(answer)
    gateway.upstream.answers["GET", f"/ui/{name}"] = Answered(answer)
    operations = make(aiplatform_v1.EndpointServiceClient)
    assert operations.get_operation({"name": name}).response.type_url.endswith("DeployModelResponse")
    client = make(aiplatform_v1beta1.EndpointServiceClient)
    spec = {"min_scaleup_period": "300s"}
    client.deploy_model(
        endpoint=ENDPOINT,
        deployed_model={"model": f"{HOME}/models/5", "dedicated_resources": {"scale_to_zero_spec": spec}},
    ).result(timeout=30)
    asked = next(one for one in gateway.upstream.asked if one.method == "POST")
    assert asked.json["deployedModel"]["dedicatedResources"]["scaleToZeroSpec"] == {
        "minScaleupPeriod": "300s"
    }


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(400, "INVALID_ARGUMENT", "no"), exceptions.InvalidArgument),
        (refused(400, "FAILED_PRECONDITION", "no"), exceptions.FailedPrecondition),
        (refused(403, "PERMISSION_DENIED", "no"), exceptions.PermissionDenied),
        (refused(404, "NOT_FOUND", "no"), exceptions.NotFound),
        (refused(409, "ALREADY_EXISTS", "no"), exceptions.AlreadyExists),
        (refused(409, "ABORTED", "no"), exceptions.Aborted),
        (refused(429, "RESOURCE_EXHAUSTED", "no"), exceptions.ResourceExhausted),
        (refused(499, "CANCELLED", "no"), exceptions.Cancelled),
        (refused(500, "INTERNAL", "no"), exceptions.InternalServerError),
        (refused(501, "UNIMPLEMENTED", "no"), exceptions.MethodNotImplemented),
        (refused(503, "UNAVAILABLE", "no"), exceptions.ServiceUnavailable),
        (refused(504, "DEADLINE_EXCEEDED", "no"), exceptions.DeadlineExceeded),
        (Answered(b"no", 418), exceptions.InternalServerError),
    ],
)
def test_errors_keep_their_code(gateway, make, answer, error):
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = answer
    with pytest.raises(error, match="no"):
        make(aiplatform_v1.EndpointServiceClient).get_endpoint(name=ENDPOINT, timeout=30, retry=None)


def test_errors_keep_their_details(gateway, make):
    detail = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "displayName"}],
    }
    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = refused(
        400, "INVALID_ARGUMENT", "ä" * 5000, details=[detail]
    )
    with pytest.raises(exceptions.InvalidArgument) as raised:
        make(aiplatform_v1.EndpointServiceClient).get_endpoint(name=ENDPOINT)
    (found,) = raised.value.details
    assert isinstance(found, error_details_pb2.BadRequest)
    assert found.field_violations[0].field == "displayName"
    assert len(raised.value.message) > 300


def test_a_name_that_is_none_is_refused_here(gateway, make):
    with pytest.raises(exceptions.InvalidArgument, match=r"name: expected projects/\*/locations"):
        make(aiplatform_v1.EndpointServiceClient).get_endpoint(name="nonsense")
    assert not gateway.upstream.asked


@pytest.mark.parametrize("path", ["/nobody.Service/Method", "/google.cloud.aiplatform.v1beta1.X/Y"])
def test_an_unknown_method_is_unimplemented(gateway, path):
    with gateway.channel() as to, pytest.raises(grpc.RpcError) as raised:
        to.unary_unary(path)(b"", timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert path in raised.value.details()


def test_what_is_no_message_is_an_invalid_argument(gateway):
    path = "/google.cloud.aiplatform.v1.EndpointService/GetEndpoint"
    with gateway.channel() as to, pytest.raises(grpc.RpcError) as raised:
        to.unary_unary(path)(b"\xff\xff", timeout=30)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_caller_that_gives_up_is_noticed_by_the_server(gateway, make):
    def spaces():
        while not gateway.upstream.left.wait(0.01):
            yield b" "

    gateway.upstream.answers["GET", f"/v1/{ENDPOINT}"] = lambda asked: Answered(parts=spaces())
    with pytest.raises(exceptions.DeadlineExceeded):
        make(aiplatform_v1.EndpointServiceClient).get_endpoint(name=ENDPOINT, timeout=0.5, retry=None)
    assert gateway.upstream.left.wait(30)
