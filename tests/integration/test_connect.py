"""`trivet.connect()` with Google's SDK, over plain HTTP."""

import importlib
import subprocess
import sys

import pytest
from google.auth.transport.requests import AuthorizedSession
from google.cloud import aiplatform
from google.cloud.aiplatform import initializer

import trivet
from tests.integration.gateway import Answered, Upstream
from trivet.core.errors import FailedPrecondition, InvalidArgument

HOME = "projects/p/locations/us-central1"
ENDPOINT = f"{HOME}/endpoints/1"
module = importlib.import_module("trivet.connect")


@pytest.fixture(autouse=True)
def undone(monkeypatch):
    """Leave Google's libraries as they were."""
    monkeypatch.setattr(AuthorizedSession, "request", AuthorizedSession.request)
    for name in ("predict", "explain", "direct_predict", "direct_raw_predict"):
        original = getattr(aiplatform.Endpoint, f"{name}_async")
        monkeypatch.setattr(aiplatform.Endpoint, f"{name}_async", original)
    monkeypatch.setattr(module, "_target", module._Target())
    yield
    initializer.global_config.__init__()


@pytest.fixture
def upstream():
    found = Upstream()
    yield found
    found.close()


def url_of(upstream):
    return f"http://127.0.0.1:{upstream.address[1]}"


def record(upstream, **fields):
    """Record an endpoint that answers with what it was asked."""
    resource = {"name": ENDPOINT, "createTime": "2026-01-02T03:04:05Z", "displayName": "e", **fields}
    upstream.answers["GET", f"/v1/{ENDPOINT}"] = Answered(resource)
    upstream.answers["POST", f"/v1/{ENDPOINT}:predict"] = lambda asked: Answered(
        {"predictions": asked.json["instances"], "deployedModelId": "7", "model": "m", "modelVersionId": "1"}
    )
    upstream.answers["POST", f"/v1/{ENDPOINT}:explain"] = lambda asked: Answered(
        {"predictions": asked.json["instances"], "deployedModelId": "7"}
    )
    upstream.answers["POST", f"/v1/{ENDPOINT}:directPredict"] = lambda asked: Answered(
        {"outputs": asked.json["inputs"]}
    )
    upstream.answers["POST", f"/v1/{ENDPOINT}:directRawPredict"] = lambda asked: Answered(
        {"output": asked.json["input"]}
    )
    for verb in (":rawPredict", ":streamRawPredict", "/invoke/v1/chat"):
        upstream.answers["POST", f"/v1/{ENDPOINT}{verb}"] = lambda asked: Answered(asked.body)


JSON = {"content-type": "application/json"}
SHARED = {}
DEDICATED = {"dedicatedEndpointEnabled": True}


@pytest.mark.parametrize(
    "fields",
    [
        SHARED,
        {**DEDICATED, "dedicatedEndpointDns": "localhost:8443"},
        {**DEDICATED, "dedicatedEndpointDns": "1.us-central1-22.prediction.vertexai.goog"},
    ],
    ids=["shared", "dedicated here", "dedicated there"],
)
async def test_every_prediction_that_rest_has_works(upstream, fields):
    record(upstream, **fields)
    trivet.connect(url_of(upstream), project="p")
    endpoint = aiplatform.Endpoint("1")
    assert endpoint.predict([[1, 2]]).predictions == [[1, 2]]
    assert endpoint.raw_predict(b"[3]", JSON).content == b"[3]"
    assert b"".join(endpoint.stream_raw_predict(b"[4]", JSON)) == b"[4]"
    assert (await endpoint.predict_async([[5]], timeout=30)).predictions == [[5]]
    assert (await endpoint.explain_async([{"a": 1}])).predictions == [{"a": 1}]
    inputs = [{"dtype": "DOUBLE", "double_val": [6]}]
    assert (await endpoint.direct_predict_async(inputs)).predictions[0]["doubleVal"] == [6]
    assert endpoint.direct_raw_predict("m", b"7").predictions == b"7"
    if fields:
        assert endpoint.invoke("/v1/chat", b"[8]", JSON).content == b"[8]"
    assert {asked.headers["host"] for asked in upstream.asked} == {url_of(upstream).removeprefix("http://")}


def test_private_endpoints_work(upstream):
    record(
        upstream,
        privateServiceConnectConfig={"enablePrivateServiceConnect": True},
        deployedModels=[{"id": "7", "privateEndpoints": {"serviceAttachment": "projects/x/a"}}],
    )
    trivet.connect(url_of(upstream), project="p")
    endpoint = aiplatform.PrivateEndpoint("1")
    assert endpoint.predict([[1]], endpoint_override="127.0.0.1").predictions == [[1]]
    assert endpoint.raw_predict(b"[3]", JSON, endpoint_override="127.0.0.1").content == b"[3]"


def test_the_control_plane_is_there(upstream):
    model = {"name": f"{HOME}/models/5", "versionId": "1", "createTime": "2026-01-02T03:04:05Z"}
    upstream.answers["GET", f"/v1/{HOME}/models"] = Answered({"models": [model]})
    trivet.connect(url_of(upstream), project="p")
    assert [one.resource_name for one in aiplatform.Model.list()] == [model["name"]]


def test_connecting_again_changes_the_server(upstream):
    other = Upstream()
    try:
        for one in (upstream, other):
            record(one, displayName=url_of(one))
            trivet.connect(url_of(one) + "/", "p")
            endpoint = aiplatform.Endpoint("1")
            assert endpoint.display_name == url_of(one)
            assert endpoint.raw_predict(b"[3]", JSON).content == b"[3]"
            assert [asked.path for asked in one.asked][-1] == f"/v1/{ENDPOINT}:rawPredict"
    finally:
        other.close()


def test_what_init_takes_is_handed_on(upstream):
    trivet.connect(url_of(upstream), "p", "europe-west4", staging_bucket="gs://b", experiment=None)
    assert initializer.global_config.location == "europe-west4"
    assert initializer.global_config.staging_bucket == "gs://b"


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("https://us-central1-aiplatform.googleapis.com/v1/a?b=%20c", "http://h:1/v1/a?b=%20c"),
        ("https://aiplatform.googleapis.com/v1/a", "http://h:1/v1/a"),
        ("https://aiplatform.us.rep.googleapis.com/v1/a", "http://h:1/v1/a"),
        ("https://1.us-central1-2.prediction.vertexai.goog/v1/a", "http://h:1/v1/a"),
        ("https://1.prediction.p.googleapis.com/v1/a", "http://h:1/v1/a"),
        ("https://localhost:8443/v1/projects/p/x", "http://h:1/v1/projects/p/x"),
        ("https://h:8443/v1beta1/projects/p/x", "http://h:1/v1beta1/projects/p/x"),
        ("https://localhost:9999/other", None),
        ("https://storage.googleapis.com/v1/projects/p/x", None),
        ("https://example.org/v1/projects/p/x", None),
        ("https://evil-aiplatform.googleapis.com.example.org/v1/a", None),
        ("http://us-central1-aiplatform.googleapis.com/v1/a", None),
        ("http://localhost:8080/v1/projects/p/x", None),
    ],
)
def test_only_what_is_for_vertex_is_led_elsewhere(asked, led):
    assert module._Target("http://h:1", "h").lead(asked) == led or asked


@pytest.mark.parametrize("url", ["localhost:8080", "127.0.0.1", "ftp://a", "http://", ""])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(InvalidArgument, match="expected the URL of a server"):
        trivet.connect(url)


def test_a_missing_sdk_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    with pytest.raises(FailedPrecondition, match=r"needs google-cloud-aiplatform.*trivet\[google\]"):
        trivet.connect()


@pytest.mark.parametrize(
    "code",
    [
        "import trivet; assert callable(trivet.connect); assert callable(trivet.connect)",
        "from trivet import connect; import trivet; assert trivet.connect is connect",
        "import trivet.connect; assert callable(trivet.connect)",
        "import trivet.connect; from trivet import connect; assert callable(connect)",
    ],
)
def test_it_can_be_called_however_it_was_imported(code):
    subprocess.run([sys.executable, "-c", code], check=True)
