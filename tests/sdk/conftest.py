"""One server for all tests of the package, a project of its own for each, and the SDK over each transport.

With `SDK_TESTS_AT` in the environment the server is one that runs already (see `test_last_1x`).
"""

import importlib
import json
import logging
import os
import uuid
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sdk.place import BUCKET, VARIABLE, XGBOOST, Place, started, train
from tests.sdk.tables import serving

LOCATION = "us-central1"


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    train(folder)
    return folder


@pytest.fixture(scope="package")
def place(request):
    """Return where the server is, and set what a process needs to reach it."""
    with ExitStack() as stack:
        if file := os.environ.get(VARIABLE):
            found = Place(**json.loads(Path(file).read_text()))
        else:
            folder = request.getfixturevalue("tmp_path_factory").mktemp("sdk")
            found = stack.enter_context(started(folder, request.getfixturevalue("models")))
        # last, so that it is put back first: what `started` changes is put back to what was before
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(scope="package")
def connected(place):
    """Return a function that makes the SDK use a project, and returns the SDK."""
    from google.auth.credentials import AnonymousCredentials

    aiplatform = importlib.import_module("google.cloud.aiplatform")
    logging.getLogger("google.cloud.aiplatform").setLevel(logging.WARNING)  # it tells of every step

    def connect(project, transport="rest", address=None):
        aiplatform.init(
            project=project,
            location=LOCATION,
            credentials=AnonymousCredentials(),
            api_endpoint=address or place.endpoint(transport),
            api_transport=transport,
        )
        return aiplatform

    return connect


@pytest.fixture
def project(connected):
    """Return a project in which there is nothing yet; what a test leaves there is deleted."""
    name = f"p-{uuid.uuid4().hex[:12]}"
    yield name
    clear(connected(name))


def clear(aiplatform):
    for job in aiplatform.BatchPredictionJob.list():
        job.cancel()
        while not job.done():
            pass  # each look is held for a while
        job.delete()
    for endpoint in [*aiplatform.Endpoint.list(), *aiplatform.PrivateEndpoint.list()]:
        endpoint.delete(force=True)
    for pool in aiplatform.DeploymentResourcePool.list():
        pool.delete()
    for model in aiplatform.Model.list():
        model.delete()


@pytest.fixture(params=["rest", "grpc"])
def transport(request):
    return request.param


@pytest.fixture
def aiplatform(connected, project, transport):
    """Return the SDK, which uses the test's project."""
    return connected(project, transport)


@pytest.fixture
def upload(aiplatform):
    """Return a function that uploads a model that answers with a constant, or a version of one."""

    def uploaded(constant=1, **more):
        given = {"display_name": "model", "serving_container_image_uri": XGBOOST}
        return aiplatform.Model.upload(artifact_uri=f"gs://{BUCKET}/constant-{constant}", **{**given, **more})

    return uploaded


@pytest.fixture
def client(aiplatform, place, transport):
    """Return a function that makes a client of a service, below the SDK's own classes."""
    from google.auth.credentials import AnonymousCredentials

    def made(service):
        return getattr(aiplatform.gapic, f"{service}ServiceClient")(
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": place.endpoint(transport)},
            transport=transport,
        )

    return made


@pytest.fixture
def folder(place):
    """A folder of a bucket, which is a folder of this machine's for the server, too."""
    name = f"batch-{uuid.uuid4().hex[:12]}"
    made = Path(place.models) / name
    made.mkdir()
    return made


@pytest.fixture
def write(folder):
    """Return a function that writes a file of rows, and returns its URI."""

    def written(rows, name="in.jsonl"):
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return f"gs://{BUCKET}/{folder.name}/{name}"

    return written


@pytest.fixture(scope="package")
def tables(tmp_path_factory):
    """A server whose SQL is asked."""
    with serving(tmp_path_factory.mktemp("sql")) as found:
        yield found


@pytest.fixture
def bigquery(tables):
    """Return Google's client of BigQuery, in a project in which there is nothing yet."""
    with tables.client(f"q-{uuid.uuid4().hex[:12]}") as client:
        yield client


@pytest.fixture
def dataset(bigquery):
    """Return the name of a dataset that is the client's default."""
    from google.cloud.bigquery import QueryJobConfig

    bigquery.create_dataset("ds")
    bigquery.default_query_job_config = QueryJobConfig(default_dataset=f"{bigquery.project}.ds")
    return "ds"
