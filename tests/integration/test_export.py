"""`trivet export`, from models on the disk and in the catalog; and that what is written runs."""

import json
import pickle
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression

from tests.integration.plane import Plane
from tests.integration.server import serve, up
from tests.zoo import cases
from trivet.cli import main

CASES = {case.name: case for case in cases()}
APPLICATION = Path(__file__).parents[1] / "contract/applications/plain"
ROWS = [list(row) for row in CASES["catboost-binary"].rows[:3]]


def export(*arguments):
    """Run the command; return what it printed."""
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments):
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert done.exit_code == 1, done.output
    return done.output


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture
def model(zoo, tmp_path):
    """A model file of one's own."""
    file = tmp_path / "fraud.cbm"
    shutil.copy(zoo(CASES["catboost-binary"]), file)
    return file


def of_dockerfile(file):
    """Return the environment and the command of a Dockerfile that Trivet wrote."""
    text = file.read_text()
    said = " ".join(re.findall(r"^ENV (.*)$", text, re.MULTILINE)).split()
    variables = dict(one.split("=", 1) for one in said)
    return variables, json.loads(re.search(r"^CMD (.*)$", text, re.MULTILINE)[1])


def started(folder, **told):
    """Start what an image would, in the folder that it is built from."""
    variables, command = of_dockerfile(folder / "Dockerfile")
    assert command == ["trivet", "serve"]
    here = {"AIP_HTTP_PORT": str(free_port()), "TRIVET_SERVER_HOST": "127.0.0.1", "HOME": str(folder)}
    return serve(cwd=folder, **{**variables, **told, **here})


def test_trivets_image_keeps_the_container_contract(model, tmp_path):
    export("compose", f"fraud@3={model}", "--output", tmp_path / "out")
    (document,) = yaml.safe_load_all((tmp_path / "out/compose.yaml").read_text())
    (service,) = document["services"].values()
    with started(tmp_path / "out" / service["build"]["context"], **service["environment"]) as server:
        assert server.client.get("/health").status_code == 200
        answer = server.client.post("/predict", json={"instances": ROWS})
        assert len(answer.json()["predictions"]) == len(ROWS)
        assert server.client.get("/v1/models/fraud").json()["name"] == "fraud"


def test_trivets_image_does_what_vertex_tells_it(model, tmp_path):
    """Which makes up the routes, and says that there is no artifact where it knows of none."""
    export("vertex", model, "--output", tmp_path / "out", "--gcp-project", "p")
    route = "/v1/endpoints/123/deployedModels/456"
    told = {"AIP_STORAGE_URI": "", "AIP_HEALTH_ROUTE": route, "AIP_PREDICT_ROUTE": f"{route}:predict"}
    with started(tmp_path / "out/images/fraud-1", **told) as server:
        assert server.client.get(route).status_code == 200
        assert server.client.post(f"{route}:predict", json={"instances": ROWS}).status_code == 200


def test_trivets_image_finds_files_in_a_storage(model, tmp_path):
    out = tmp_path / "out"
    export("kserve", f"fraud@7={model}", "--output", out, "--image", "r.io/p/f", "--storage", "gs://bucket/x")
    (document,) = yaml.safe_load_all((out / "1-fraud-7.yaml").read_text())
    (container,) = document["spec"]["predictor"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    assert told.pop("STORAGE_URI") == "gs://bucket/x/fraud-7"
    told["AIP_STORAGE_URI"] = str(out / "models/fraud-7")  # where KServe would put them
    with started(out / "images/fraud-7", **told) as server:
        assert server.predict("fraud", ROWS).status_code == 200
        assert server.client.post("/predict", json={"instances": ROWS}).status_code == 200


def test_the_readme_says_how_to_go_on(model, tmp_path):
    printed = export("cloud-run", model, "--output", tmp_path / "out", "--gcp-project", "my-project")
    assert "service-1-fraud-1.yaml  (checked against the API of Cloud Run)" in printed
    text = (tmp_path / "out/README.md").read_text()
    assert "ID token" in text
    assert "roles/run.invoker" in text
    assert "%{" not in text


@pytest.fixture(scope="module")
def data(tmp_path_factory, zoo):
    """A data folder with two versions of a model, of which an endpoint sends 30 and 70 % to each."""
    folder = tmp_path_factory.mktemp("catalog")
    with up(folder) as server:
        plane = Plane(server.client)
        for _ in (1, 2):
            plane.upload(zoo(CASES["catboost-binary"]), "fraud")
        plane.done(plane.post("endpoints?endpointId=scoring", {"displayName": "Scores of all"}))
        resources = {
            "machineSpec": {"machineType": "n1-standard-4"},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
        }
        ids = [
            plane.deploy("scoring", f"projects/p/locations/us-central1/models/fraud@{version}",
                         dedicatedResources=resources)
            for version in (1, 2)
        ]  # fmt: skip
        plane.split("scoring", dict(zip(ids, (30, 70), strict=True)))
        server.stop()
    return ["--data", folder, "--project", "p"]


def test_an_endpoint_is_exported_with_its_split_and_resources(data, tmp_path):
    export("gke", "--endpoint", "scoring", "--output", tmp_path / "out", "--image", "r.io/p/scoring", *data)
    documents = list(yaml.safe_load_all((tmp_path / "out/k8s/gateway.yaml").read_text()))
    (rule,) = next(one for one in documents if one["kind"] == "HTTPRoute")["spec"]["rules"]
    weights = {one["name"]: one["weight"] for one in rule["backendRefs"]}
    assert weights == {"scoring-fraud-1": 30, "scoring-fraud-2": 70}
    versions = list(yaml.safe_load_all((tmp_path / "out/k8s/fraud-2.yaml").read_text()))
    deployment, scaler = (next(one for one in versions if one["kind"] == kind) for kind in
                          ("Deployment", "HorizontalPodAutoscaler"))  # fmt: skip
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "15Gi"}
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 3)
    assert list((tmp_path / "out/images/fraud-2/model").iterdir())


def test_an_endpoint_may_be_named_by_its_display_name(data, tmp_path):
    printed = export("cloud-run", "--endpoint", "Scores of all", "--output", tmp_path / "out", "--cpu", 2,
                     "--memory", "4Gi", "--gcp-project", "p", *data)  # fmt: skip
    assert "service-2-fraud-1.yaml" in printed
    assert "gcloud run services describe scoring " in (tmp_path / "out/deploy.sh").read_text()


def test_what_has_a_number_for_an_id_is_called_by_its_display_name(zoo, tmp_path):
    with up(tmp_path / "data") as server:
        plane = Plane(server.client)
        model = plane.upload(zoo(CASES["catboost-binary"]), displayName="Fraud of 2024").partition("@")[0]
        server.stop()
    export("compose", model, "--output", tmp_path / "out", "--data", tmp_path / "data")
    assert (tmp_path / "out/images/fraud-of-2024-1/trivet.toml").is_file()


def test_a_registered_version_is_exported_by_its_name(data, tmp_path):
    printed = export("kserve", "fraud@1", "--output", tmp_path / "out", "--image", "r.io/p/fraud", *data)
    assert "1-fraud-1.yaml" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gke", "nothing"], "nor is there a file or folder of that name"),
        (["gke", "--endpoint", "nothing"], "nothing"),
        (["gke"], "either MODEL or --endpoint"),
        (["kserve", "fraud"], "--image: required"),
        (["cloud-run", "fraud", "--image", "r.io/p/f", "--cpu", "3"], "--cpu 3: expected one of"),
        (["gke", "fraud", "--image", "r.io/p/f", "--memory", "4G"], "--memory '4G': expected"),
    ],
)
def test_what_cannot_be_exported_says_why_and_leaves_nothing(arguments, said, data, tmp_path):
    assert said in refused(*arguments, "--output", tmp_path / "out", *data)
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_exported_only_if_it_may_be_loaded(tmp_path):
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])))
    assert "--allow-pickle lets" in refused("compose", file, "--output", tmp_path / "out")
    export("compose", file, "--output", tmp_path / "out", "--allow-pickle")
    text = (tmp_path / "out/compose.yaml").read_text()
    assert "TRIVET_ARTIFACTS_ALLOW_PICKLE: 'true'" in text


STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def run(script, folder, tmp_path):
    """Run a bundle's script with programs that only say how they were called; return that."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name in ("docker", "gcloud", "kubectl"):
        (programs / name).write_text(STUB)
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(calls)}
    subprocess.run([folder / script], env=environment, check=True, capture_output=True, cwd=tmp_path)
    return [shlex.split(line) for line in calls.read_text().splitlines()]


def test_cloud_runs_script_builds_and_makes_one_revision_after_the_other(data, tmp_path):
    out = tmp_path / "out"
    export("cloud-run", "--endpoint", "scoring", "--output", out, "--gcp-project", "p", "--cpu", 2,
           "--memory", "4Gi", *data)  # fmt: skip
    calls = run("deploy.sh", out, tmp_path)
    assert [call[:2] for call in calls[:4]] == [["docker", "build"], ["docker", "push"]] * 2
    files = [call[4] for call in calls if call[1:4] == ["run", "services", "replace"]]
    assert files == ["service-1-fraud-2.yaml", "service-2-fraud-1.yaml"]
    assert all((out / file).is_file() for file in files)
    images = {call[-2] for call in calls if call[1] == "build"}
    texts = "".join((out / file).read_text() for file in files)
    assert all(image in texts for image in images)
    assert all((out / call[-1] / "Dockerfile").is_file() for call in calls if call[1] == "build")


def test_gkes_script_asks_the_cluster_before_it_changes_anything(model, tmp_path):
    out = tmp_path / "out"
    export("gke", model, "--output", out, "--image", "r.io/p/f", "--storage", "gs://bucket/x")
    calls = run("deploy.sh", out, tmp_path)
    assert ["gcloud", "storage", "rsync", "--recursive", "models/fraud-1", "gs://bucket/x/fraud-1"] in calls
    applied = [call for call in calls if call[:2] == ["kubectl", "apply"]]
    assert [call[2:] for call in applied] == [
        ["--dry-run=server", "--filename", "k8s/"],
        ["--filename", "k8s/"],
    ]
    assert (out / "models/fraud-1/fraud.cbm").is_file()


def test_kserves_script_applies_the_canary_last(data, tmp_path):
    out = tmp_path / "out"
    export("kserve", "--endpoint", "scoring", "--output", out, "--image", "r.io/p/s", "--service-account",
           "a@p.iam.gserviceaccount.com", *data)  # fmt: skip
    calls = run("deploy.sh", out, tmp_path)
    applied = [call[-1] for call in calls if call[:2] == ["kubectl", "apply"]]
    assert applied == [".", "account.yaml", "1-fraud-2.yaml", "2-fraud-1.yaml"]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="NGINX IS NOT HERE: apt-get install nginx-light")
def test_nginx_splits_each_request_by_the_shares(data, tmp_path):
    out = tmp_path / "out"
    export("compose", "--endpoint", "scoring", "--output", out, *data)
    conf = (out / "nginx.conf").read_text()
    with (
        started(out / "images/fraud-1") as first,
        started(out / "images/fraud-2") as second,
    ):
        for name, server in (("fraud-1:8080", first), ("fraud-2:8080", second)):
            conf = conf.replace(f"server {name}", f"server {httpx.URL(server.url).netloc.decode()}")
        port = free_port()
        conf = conf.replace("listen 8080", f"listen 127.0.0.1:{port}")
        with (
            nginx(conf, tmp_path / "nginx") as _,
            httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            for _ in range(200):
                answer = client.post("/predict", json={"instances": ROWS})
                assert answer.status_code == 200
        counts = [int(asked(server)) for server in (first, second)]
    assert sum(counts) == 200
    assert 30 < counts[0] < 90  # 60, give or take five standard deviations


def asked(server):
    """Return how many requests a server has answered with predictions."""
    text = server.client.get("/metrics").text
    return sum(
        float(value) for value in re.findall(r"^trivet_requests_total\{.*\} (.*)$", text, re.MULTILINE)
    )


def nginx(conf, folder):
    """Run nginx with what is the configuration of its image's server."""
    folder.mkdir()
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in
                    ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    (folder / "server.conf").write_text(conf)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {paths} include {folder}/server.conf; }}"
    )
    return Nginx(folder)


class Nginx:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        command = ["nginx", "-c", str(self._folder / "nginx.conf"), "-p", str(self._folder)]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
