"""Models in podman's containers, from the upload to the end of the server: online, in jobs, and in SQL."""

import os
import signal
import threading
from contextlib import closing

import pytest

import trivet.sql
from tests.integration.batch import Place, rows
from tests.integration.plane import Plane
from tests.integration.processes import family
from tests.integration.server import serve, up
from tests.integration.test_container_online import MOODY, do, error, upload, works
from tests.integration.test_container_sql import CREATE, ROWS

READER = """\
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
from google.cloud import storage

client = storage.Client()
bucket, _, prefix = os.environ["AIP_STORAGE_URI"].removeprefix("gs://").partition("/")
blobs = client.list_blobs(bucket, prefix=prefix)
texts = {one.name.removeprefix(prefix).strip("/"): one.download_as_text() for one in blobs}

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"predictions": [texts[name] for name in body["instances"]]})

    def answer(self, value):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        pass

HTTPServer(("0.0.0.0", int(os.environ["AIP_HTTP_PORT"])), Answers).serve_forever()
"""
"""An application that reads its model as on Vertex AI, by Google's own library."""


@pytest.fixture(scope="module")
def server(podman, tmp_path_factory):
    with up(tmp_path_factory.mktemp("data"), TRIVET_CONTAINERS_ENGINE="podman") as server:
        server.client.timeout = 60
        yield server
        running = applications(podman, server)
        assert running
        assert server.stop() == 0
    until(lambda: gone(running))


@pytest.fixture(scope="module")
def plane(server):
    return Plane(server.client)


def applications(podman, server):
    """Return the first processes of the containers of a server."""
    tool = podman.way().tool
    listed = tool.run("ps", "--all", f"--format={{{{.ID}}}} {podman.label_of}").stdout
    processes = family(server.process.pid)
    owners = (line.split() for line in listed.splitlines())
    own = [one for one, *owner in owners if owner and int(owner[0].split("/")[2]) in processes]
    return tool.run("inspect", "--format={{.State.Pid}}", *own).stdout.split() if own else []


def gone(processes):
    return not any(os.path.exists(f"/proc/{one}") for one in processes)


def until(thing, seconds=20):
    turn = threading.Event()
    for _ in range(seconds * 10):
        if thing():
            return
        turn.wait(0.1)
    raise AssertionError("it took too long")


@pytest.fixture(scope="module")
def moody(plane):
    plane.endpoint("moody")
    plane.deploy("moody", upload(plane, "moody"))
    return "moody"


def test_instances_come_back_as_they_were_sent(plane, moody):
    assert works(plane, moody)


def test_a_container_that_ends_is_started_again_and_the_caller_is_told(server, plane, moody):
    status, code, message = error(plane, moody, do("crash", 7))
    assert (status, code) == (503, "UNAVAILABLE")
    assert message == "the container ended with 7; the request may be tried again"
    assert works(plane, moody)
    assert "crashing with 7" in "".join(server.lines)


def test_googles_library_reads_the_models_files(plane, tmp_path):
    (tmp_path / "reader").mkdir()
    (tmp_path / "reader/main.py").write_text(READER)
    (tmp_path / "reader/Dockerfile").write_text(
        'FROM localhost/trivet-test-python\nCOPY main.py /\nCMD ["python", "/main.py"]\n'
    )
    (tmp_path / "files").mkdir()
    (tmp_path / "files/weights.txt").write_text("0.5")
    spec = {"imageUri": str(tmp_path / "reader"), "predictRoute": "/predict", "healthRoute": "/health"}
    document = {"displayName": "reader", "artifactUri": str(tmp_path / "files"), "containerSpec": spec}
    done = plane.done(plane.post("models:upload", {"model": document, "modelId": "reader"}))
    plane.endpoint("reader")
    plane.deploy("reader", f"{done['model']}@{done['modelVersionId']}")
    assert plane.predict("reader", ["weights.txt"])["predictions"] == ["0.5"]


def test_two_versions_of_one_image_share_an_endpoint(plane):
    plane.endpoint("split")
    one = plane.deploy("split", upload(plane, "split"))
    two = plane.deploy("split", upload(plane, "split", env={"SHOW": "requests"}), split={"0": 50, one: 50})
    assert len({plane.predict("split", ["x"])["predictions"] == ["x"] for _ in range(40)}) == 2
    plane.split("split", {two: 100})
    assert plane.predict("split", ["x"])["predictions"][0]["rows"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_container_outlives_a_server(podman, tmp_path, number):
    cache = {"TRIVET_CONTAINERS_CACHE": str(tmp_path), "TRIVET_CONTAINERS_ENGINE": "podman"}
    with serve(f"moody={MOODY}", **cache) as server:
        server.client.timeout = 30
        assert server.predict("moody", [1, "two"]).json()["predictions"] == [1, "two"]
        running = applications(podman, server)
        assert len(running) == 1
        os.kill(server.process.pid, number)
        server.process.wait(30)
        until(lambda: gone(running))


@pytest.fixture
def settings(podman, tmp_path, monkeypatch):
    """Have what is started here use podman."""
    monkeypatch.setenv("TRIVET_CONTAINERS_ENGINE", "podman")
    monkeypatch.setenv("TRIVET_CONTAINERS_CACHE", str(tmp_path / "cache"))


def test_a_job_has_a_container_of_its_own(settings, tmp_path):
    with closing(Place(tmp_path, {"TRIVET_BATCH_WORKERS": "1"})) as place:
        (tmp_path / "rows.jsonl").write_text("".join(f"{number}\n" for number in range(150)))
        place.job(str(MOODY), "--input", "rows.jsonl", "--output", "out")
        assert sorted(one["prediction"] for one in rows(place.output())) == list(range(150))


def test_ml_predict_has_one_too(settings, tmp_path):
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as connection:
        connection.sql("CREATE SCHEMA ds")
        connection.sql(CREATE.format(MOODY))
        many = ROWS.format("SELECT a FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS a")
        assert connection.sql(many).fetchall() == [(1000, 500500.0)]
