"""Models with a container of their own by the SDK: uploaded, shown, copied, refused."""

from pathlib import Path

import pytest
from google.api_core import exceptions

from tests.sdk.place import BUCKET

MAIN = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == os.environ["AIP_HEALTH_ROUTE"] else 404, {})

    def do_POST(self):
        instances = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        told = {name: os.environ.get(name) for name in ("MODULE_NAME", "AIP_STORAGE_URI", "AIP_ENDPOINT_ID")}
        found = self.path == os.environ["AIP_PREDICT_ROUTE"]
        self.answer(200 if found else 404, {"predictions": [[one, told] for one in instances]})

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

HTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def application(tmp_path):
    """The folder of an application that repeats its instances, and what it was told by variables."""
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim\nCOPY . /app\nCMD python /app/main.py\n")
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


@pytest.fixture
def own(aiplatform, application):
    """Return a function that uploads a model with a container of its own."""

    def uploaded(image=None, **more):
        given = {"display_name": "own", "serving_container_image_uri": image or str(application)}
        return aiplatform.Model.upload(**{**given, **more})

    return uploaded


def test_a_container_comes_back_as_it_was_uploaded(own, application):
    model = own(
        artifact_uri=f"gs://{BUCKET}/nothing",
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        serving_container_command=["python", "/app/main.py"],
        serving_container_args=["--fast"],
        serving_container_environment_variables={"MODULE_NAME": "main2"},
        serving_container_ports=[8080, 9000],
        serving_container_deployment_timeout=600,
        serving_container_shared_memory_size_mb=128,
        serving_container_startup_probe_exec=["cat", "/tmp/up"],
        serving_container_startup_probe_period_seconds=2,
        serving_container_health_probe_exec=["cat", "/tmp/well"],
        serving_container_health_probe_timeout_seconds=3,
    )
    assert model.uri == f"gs://{BUCKET}/nothing"
    spec = model.container_spec
    assert spec.image_uri == str(application)
    assert (list(spec.command), list(spec.args)) == (["python", "/app/main.py"], ["--fast"])
    assert [(one.name, one.value) for one in spec.env] == [("MODULE_NAME", "main2")]
    assert [one.container_port for one in spec.ports] == [8080, 9000]
    assert (spec.predict_route, spec.health_route) == ("/predict", "/health")
    assert spec.deployment_timeout.total_seconds() == 600
    assert spec.shared_memory_size_mb == 128
    assert list(spec.startup_probe.exec_.command) == ["cat", "/tmp/up"]
    assert spec.startup_probe.period_seconds == 2
    assert list(spec.health_probe.exec_.command) == ["cat", "/tmp/well"]
    assert spec.health_probe.timeout_seconds == 3


def test_it_needs_neither_files_nor_routes(own):
    model = own()
    assert model.uri is None
    assert (model.container_spec.predict_route, model.container_spec.health_route) == ("", "")


def test_versions_have_variables_of_their_own(aiplatform, own):
    first = own(serving_container_environment_variables={"MODULE_NAME": "main"})
    second = own(
        parent_model=first.resource_name, serving_container_environment_variables={"MODULE_NAME": "main2"}
    )
    names = [
        aiplatform.Model(one.versioned_resource_name).container_spec.env[0].value for one in (first, second)
    ]
    assert names == ["main", "main2"]


def test_it_is_told_what_it_is_of_and_where_it_is_asked(own, project):
    """With no route of its own it listens where the variables say, which is another path at each endpoint."""
    model = own(
        artifact_uri=f"gs://{BUCKET}/nothing",
        serving_container_environment_variables={"MODULE_NAME": "main2"},
    )
    endpoints = [model.deploy(machine_type="n1-standard-2") for _ in range(2)]
    for endpoint in endpoints:
        told = {"MODULE_NAME": "main2", "AIP_STORAGE_URI": f"gs://{BUCKET}/nothing"}
        answer = endpoint.predict([1.5, {"a": ["b"]}])
        told["AIP_ENDPOINT_ID"] = endpoint.name
        assert answer.predictions == [[1.5, told], [{"a": ["b"]}, told]]
        assert (answer.model_version_id, answer.model_resource_name) == ("1", model.resource_name)


def test_a_version_and_a_copy_outlive_the_folder(own, application):
    model = own()
    (application / "Dockerfile").unlink()
    with pytest.raises(exceptions.GoogleAPICallError, match="says nothing of how to start the application"):
        own()
    copy = model.copy("us-central1")
    assert copy.container_spec == model.container_spec


def test_paths_of_its_own_may_be_called_instead(own):
    assert own(serving_container_invoke_route_prefix="/*").container_spec.invoke_route_prefix == "/*"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": "./app"}, r"imageUri './app': expected the name of an image"),
        ({"image": "/nowhere/app"}, "/nowhere/app: there is no such file or folder"),
        ({"image": "us-docker.pkg.dev/p/r/m:1"}, "only the folder of an application can be run"),
        ({"serving_container_environment_variables": {"AIP_HTTP_PORT": "1"}}, "the server sets all AIP_"),
        ({"serving_container_predict_route": "predict"}, "predictRoute: expected a path"),
        ({"serving_container_health_route": "/a b"}, "healthRoute: expected a path"),
        ({"serving_container_ports": [70000]}, r"ports\[0\]\.containerPort: expected a port"),
        ({"serving_container_invoke_route_prefix": "/v1"}, "invokeRoutePrefix: expected"),
    ],
)
def test_what_is_wrong_is_said_by_its_field(aiplatform, own, given, said):
    with pytest.raises(exceptions.GoogleAPICallError, match=said):
        own(**given)
    assert aiplatform.Model.list() == []


def test_probes_by_grpc_are_refused_below_the_sdks_classes(client, application, project):
    model = {
        "display_name": "own",
        "container_spec": {"image_uri": str(application), "health_probe": {"grpc": {"port": 1}}},
    }
    with pytest.raises(exceptions.GoogleAPICallError, match="containers are not asked by gRPC"):
        client("Model").upload_model(parent=f"projects/{project}/locations/us-central1", model=model)


def test_files_are_copied_from_the_folder_only_once(own, application, place):
    kept = Path(place.data) / "artifacts"
    own()
    before = {one.name for one in kept.iterdir()}
    own()
    assert {one.name for one in kept.iterdir()} == before
