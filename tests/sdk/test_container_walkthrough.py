"""What people do with their own containers on Vertex AI, by the unmodified SDK.

Two CatBoost models; one image, in which one application answers simply and another in detail; one endpoint,
whose traffic moves from one to the other and back.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.sdk.place import BUCKET, lines, started

EXAMPLE = Path(__file__).parents[2] / "examples" / "07-containers"
IMAGE = "us-central1-docker.pkg.dev/p/serving/fraud:latest"
ANY = "us-central1-docker.pkg.dev/p/serving/any:latest"
FRANK = Path(__file__).parents[1] / "integration" / "frank"
ROWS = np.random.default_rng(3).normal(size=(4, 30)).tolist()
ROUTES = {
    "serving_container_predict_route": "/predict",
    "serving_container_health_route": "/health",
    "serving_container_ports": [8080],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two models, whose probabilities differ, in the folder that is a bucket."""
    catboost = pytest.importorskip("catboost")
    folder = tmp_path_factory.mktemp("catboost")
    rows = np.random.default_rng(1).normal(size=(500, 30))
    for name, column in (("v1", 4), ("v2", 14)):
        (folder / name).mkdir()
        model = catboost.CatBoostClassifier(iterations=20, depth=3, verbose=False, allow_writing_files=False)
        model.fit(rows, (rows[:, column] > 0).astype(int)).save_model(str(folder / name / "model.cbm"))
    return folder


def probabilities(folder, name):
    from catboost import CatBoostClassifier

    model = CatBoostClassifier().load_model(str(folder / name / "model.cbm"))
    return model.predict_proba(ROWS).tolist()


@pytest.fixture(scope="module")
def aiplatform(trained, tmp_path_factory):
    """The SDK, and a server for which the image is a folder."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    asked = {
        "TRIVET_CONTAINERS_ENGINE": "process",
        "TRIVET_CONTAINERS_CACHE": "",  # the usual one: to install CatBoost takes half a minute
        "TRIVET_CONTAINERS_IMAGES": f"{IMAGE}={EXAMPLE / 'fraud'},{ANY}={FRANK}",
    }
    folder = tmp_path_factory.mktemp("server")
    # in this order: what the server's own emulators change is put back last
    with started(folder, trained, **asked) as place, pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        aiplatform.init(
            project="p",
            location="us-central1",
            credentials=AnonymousCredentials(),
            api_endpoint=place.http,
            api_transport="rest",
        )
        yield aiplatform


def test_two_applications_of_one_image_at_one_endpoint(aiplatform, trained):
    simple, detailed = probabilities(trained, "v1"), probabilities(trained, "v2")
    expected = {
        "1": simple,
        "2": [
            {"classes": ["0", "1"], "scores": scores, "predicted_class": "01"[scores[1] > scores[0]]}
            for scores in detailed
        ],
    }

    first = aiplatform.Model.upload(
        display_name="fraud",
        model_id="fraud",
        artifact_uri=f"gs://{BUCKET}/v1",
        serving_container_image_uri=IMAGE,
        version_aliases=["simple"],
        **ROUTES,
    )
    second = aiplatform.Model.upload(
        display_name="fraud",
        parent_model=first.resource_name,
        artifact_uri=f"gs://{BUCKET}/v2",
        serving_container_image_uri=IMAGE,
        serving_container_environment_variables={"MODULE_NAME": "main2"},
        is_default_version=False,
        version_aliases=["detailed"],
        **ROUTES,
    )
    assert (first.version_id, second.version_id) == ("1", "2")
    assert aiplatform.Model("fraud").version_id == "1"
    assert second.container_spec.image_uri == IMAGE
    (variable,) = second.container_spec.env
    assert (variable.name, variable.value) == ("MODULE_NAME", "main2")

    endpoint = aiplatform.Endpoint.create(display_name="fraud", dedicated_endpoint_enabled=True)
    endpoint.deploy(
        first, deployed_model_display_name="simple", traffic_percentage=100, machine_type="n1-standard-4"
    )
    endpoint.deploy(
        second, deployed_model_display_name="detailed", traffic_percentage=0, machine_type="n1-standard-4"
    )
    ids = {one.model_version_id: one.id for one in endpoint.list_models()}

    def answers(version):
        """Ask several times; each is answered by that version, with the numbers of the library itself."""
        for _ in range(5):
            answer = endpoint.predict(instances=ROWS)
            assert (answer.model_version_id, answer.deployed_model_id) == (version, ids[version])
            assert answer.predictions == expected[version]

    answers("1")
    endpoint.update(traffic_split={ids["1"]: 0, ids["2"]: 100})
    answers("2")
    raw = endpoint.raw_predict(
        body=json.dumps({"instances": ROWS}), headers={"Content-Type": "application/json"}
    )
    assert raw.json() == {"predictions": expected["2"]}
    endpoint.update(traffic_split={ids["1"]: 100, ids["2"]: 0})
    answers("1")
    endpoint.update(traffic_split={ids["1"]: 50, ids["2"]: 50})
    assert {endpoint.predict(instances=ROWS[:1]).model_version_id for _ in range(60)} == {"1", "2"}
    endpoint.update(traffic_split={ids["1"]: 0, ids["2"]: 100})
    endpoint.undeploy(ids["1"])
    answers("2")

    (trained / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    job = second.batch_predict(
        job_display_name="detailed",
        gcs_source=f"gs://{BUCKET}/in.jsonl",
        gcs_destination_prefix=f"gs://{BUCKET}/out",
        machine_type="n1-standard-4",
    )
    (results,) = (trained / "out").glob("*/*results*")
    assert lines(results.read_text()) == [
        {"instance": row, "prediction": prediction}
        for row, prediction in zip(ROWS, expected["2"], strict=True)
    ]

    endpoint.delete(force=True)
    job.delete()
    first.delete()


def test_any_path_of_an_application_can_be_called(aiplatform, tmp_path):
    model = aiplatform.Model.upload(
        display_name="any", serving_container_image_uri=ANY, serving_container_invoke_route_prefix="/*"
    )
    endpoint = aiplatform.Endpoint.create(display_name="any", dedicated_endpoint_enabled=True)
    endpoint.deploy(model, machine_type="n1-standard-4")
    headers = {"Content-Type": "application/json", "X-More": "m"}
    answer = endpoint.invoke(request_path="/v1/chat/tell", body=b'{"messages": []}', headers=headers)
    told = answer.json()
    assert (told["method"], told["target"], told["body"]) == ("POST", "/v1/chat/tell", '{"messages": []}')
    assert told["headers"]["x-more"] == "m"
    for piece in (1, 2):
        (tmp_path / f"go-{piece}").touch()
    path = f"/stream?pieces=2&next={tmp_path / 'go'}"
    pieces = endpoint.invoke(request_path=path, body=b"{}", headers=headers, stream=True)
    assert [piece for piece in pieces if piece] == [b"data: 0", b"data: 1"]
    endpoint.delete(force=True)
    model.delete()
