"""A container that answers with what it is asked: values of every JSON shape online, and batch formats."""

import json
from pathlib import Path

import pytest

from tests.integration.plane import PARENT, Plane
from tests.integration.server import up
from tests.integration.test_batch_formats import (  # noqa: F401 - the same jobs, through the container
    INSTANCES,
    place,
    predict,
    test_bigquery_rows_are_arrays_and_the_output_is_a_table,
    test_csv_rows_are_arrays_of_numbers_and_strings,
    test_jsonl_lines_are_sent_as_they_are,
    test_tf_records_are_sent_in_base64_and_come_back_without_an_instance,
    test_the_files_of_a_list_are_sent_in_base64,
)

ECHO = Path(__file__).parents[2] / "examples" / "07-containers" / "echo"


@pytest.fixture(scope="module", params=["process", "podman"])
def engine(request):
    """What tells a server to run containers so."""
    if request.param == "podman":
        request.getfixturevalue("podman")
    return {"TRIVET_CONTAINERS_ENGINE": request.param}


@pytest.fixture
def model(place, engine):  # noqa: F811
    """Take the container in place of the runtime."""
    place.variables |= engine
    return str(ECHO)


@pytest.fixture(scope="module")
def plane(tmp_path_factory, engine):
    """A server with the container deployed at the endpoint `echo`."""
    with up(tmp_path_factory.mktemp("data"), **engine) as server:
        server.client.timeout = 120
        plane = Plane(server.client)
        container = {"imageUri": str(ECHO), "predictRoute": "/predict", "healthRoute": "/health"}
        begun = plane.post(
            "models:upload", {"model": {"displayName": "echo", "containerSpec": container}, "modelId": "echo"}
        )
        done = plane.done(begun)
        plane.endpoint("echo")
        plane.deploy("echo", f"{done['model']}@{done['modelVersionId']}")
        yield plane
        assert server.stop() == 0


def texts(values):
    """Return values as JSON, in which 1 is not 1.0."""
    return [json.dumps(one) for one in values]


@pytest.mark.parametrize("instance", INSTANCES, ids=json.dumps)
def test_a_value_comes_back_as_it_was(plane, instance):
    assert texts(plane.predict("echo", [instance])["predictions"]) == texts([instance])


def test_values_of_all_shapes_come_back_in_one_answer(plane):
    answer = plane.predict("echo", INSTANCES)
    assert texts(answer["predictions"]) == texts(INSTANCES)
    assert answer["modelVersionId"] == "1"


@pytest.mark.parametrize("method", ["rawPredict", "streamRawPredict"])
def test_a_raw_answer_is_the_containers(plane, method):
    body = json.dumps({"instances": INSTANCES, "more": 1})
    answer = plane.client.post(
        f"{PARENT}/endpoints/echo:{method}", content=body, headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 200
    assert list(answer.json()) == ["predictions"]
    assert texts(answer.json()["predictions"]) == texts(INSTANCES)
    assert answer.headers["x-vertex-ai-deployed-model-id"]
