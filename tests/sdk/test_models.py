"""Models, versions and aliases by Google's SDK."""

from pathlib import Path

import pytest
from google.api_core import exceptions

from tests.sdk.place import BUCKET, SKLEARN, STAGING, XGBOOST

PREDICTIONS = "us-docker.pkg.dev/vertex-ai/prediction"


def test_a_model_is_uploaded_with_all_that_it_says_of_itself(aiplatform, project):
    model = aiplatform.Model.upload(
        display_name="fraud",
        description="finds fraud",
        artifact_uri=f"gs://{BUCKET}/constant-1",
        serving_container_image_uri=XGBOOST,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        serving_container_environment_variables={"A": "1"},
        serving_container_ports=[8080],
        serving_container_args=["--x"],
        serving_container_shared_memory_size_mb=128,
        serving_container_deployment_timeout=600,
        instance_schema_uri=f"gs://{BUCKET}/instance.yaml",
        labels={"team": "risk"},
        version_aliases=["champion"],
        version_description="first",
    )
    name = f"projects/{project}/locations/us-central1/models/{model.name}"
    assert model.resource_name == name
    assert model.versioned_resource_name == f"{name}@1"
    assert model.version_id == "1"
    assert set(model.version_aliases) == {"champion", "default"}
    assert (model.display_name, model.description) == ("fraud", "finds fraud")
    assert (model.version_description, model.labels) == ("first", {"team": "risk"})
    assert model.uri == f"gs://{BUCKET}/constant-1"
    spec = model.container_spec
    assert spec.image_uri == XGBOOST
    assert (spec.predict_route, spec.health_route) == ("/predict", "/health")
    assert [(one.name, one.value) for one in spec.env] == [("A", "1")]
    assert [one.container_port for one in spec.ports] == [8080]
    assert (list(spec.args), spec.shared_memory_size_mb) == (["--x"], 128)
    assert spec.deployment_timeout.total_seconds() == 600
    assert model.predict_schemata.instance_schema_uri == f"gs://{BUCKET}/instance.yaml"
    assert model.create_time == model.version_create_time
    assert model.update_time >= model.create_time
    kinds = aiplatform.gapic.Model.DeploymentResourcesType
    assert model.supported_deployment_resources_types == [kinds.DEDICATED_RESOURCES, kinds.SHARED_RESOURCES]
    assert "jsonl" in model.supported_input_storage_formats
    assert "jsonl" in model.supported_output_storage_formats


@pytest.mark.parametrize("image", ["trivet", "trivet/xgboost"])
def test_an_image_of_ours_serves_what_google_has_no_image_for(aiplatform, upload, image):
    """Here XGBoost again; ONNX, LightGBM, CatBoost and Python models have no prebuilt container."""
    endpoint = upload(2, serving_container_image_uri=image).deploy(machine_type="n1-standard-2")
    assert endpoint.predict([[0.0]]).predictions == [2]


def test_it_is_found_by_its_id_and_by_its_name(aiplatform, upload, project):
    model = upload(model_id="fraud-1")
    assert model.name == "fraud-1"
    for name in ("fraud-1", model.resource_name, f"{model.resource_name}@1", "fraud-1@default"):
        assert aiplatform.Model(name).versioned_resource_name == model.versioned_resource_name
    with pytest.raises(exceptions.NotFound, match=r"fraud-2.* is not found"):
        aiplatform.Model("fraud-2")
    with pytest.raises(exceptions.NotFound, match="fraud-1@7"):
        aiplatform.Model("fraud-1@7")
    with pytest.raises(exceptions.Conflict, match="fraud-1"):
        upload(model_id="fraud-1")


def test_an_upload_in_the_background_is_waited_for(upload):
    model = upload(sync=False)
    model.wait()
    assert model.version_id == "1"


def test_versions_are_chosen_by_number_and_by_alias(aiplatform, upload):
    first = upload(1, version_aliases=["champion"])
    second = upload(2, parent_model=first.name, version_description="better")
    third = upload(
        3, parent_model=first.resource_name, is_default_version=False, version_aliases=["challenger"]
    )
    assert [one.version_id for one in (first, second, third)] == ["1", "2", "3"]
    assert third.resource_name == first.resource_name
    assert aiplatform.Model(first.name).version_id == "2"
    assert aiplatform.Model(f"{first.name}@1").uri.endswith("constant-1")
    assert aiplatform.Model(first.name, version="challenger").version_id == "3"
    assert aiplatform.Model(f"{first.resource_name}@champion").version_id == "1"
    assert list(aiplatform.Model(first.name, version="1").version_aliases) == ["champion"]
    assert list(third.version_aliases) == ["challenger"]


def test_a_model_is_updated_after_its_aliases_have_moved(aiplatform, upload):
    """The SDK sends the etag of the object that it has, which it does not get again."""
    model = upload(1)
    model.versioning_registry.add_version_aliases(["champion"], version="1")
    model.update(labels={"team": "a"})
    assert aiplatform.Model(model.resource_name).labels == {"team": "a"}


def test_the_registry_lists_versions_moves_aliases_and_deletes(aiplatform, upload):
    first = upload(1, version_aliases=["champion"])
    for constant in (2, 3):
        upload(constant, parent_model=first.name, version_description=f"number {constant}")
    registry = aiplatform.models.ModelRegistry(first.name)
    versions = registry.list_versions()
    assert sorted(one.version_id for one in versions) == ["1", "2", "3"]
    newest = max(versions, key=lambda one: one.version_id)
    assert (newest.version_description, newest.version_aliases) == ("number 3", ["default"])
    assert newest.model_resource_name == first.resource_name
    assert newest.version_create_time <= newest.version_update_time

    registry.add_version_aliases(["champion", "blue"], version="2")
    assert set(registry.get_version_info("2").version_aliases) == {"champion", "blue"}
    assert registry.get_version_info("1").version_aliases == []
    registry.remove_version_aliases(["blue"], version="champion")
    assert registry.get_version_info("2").version_aliases == ["champion"]
    registry.add_version_aliases(["default"], version="2")
    assert registry.get_model().version_id == "2"
    registry.update_version(version="1", version_description="the first", labels={"a": "b"})
    assert registry.get_version_info("1").version_description == "the first"
    with pytest.raises(exceptions.GoogleAPICallError, match="default"):
        registry.remove_version_aliases(["default"], version="2")

    registry.delete_version("3")
    assert sorted(one.version_id for one in registry.list_versions()) == ["1", "2"]
    with pytest.raises(exceptions.GoogleAPICallError, match="default"):
        registry.delete_version("2")
    with pytest.raises(exceptions.NotFound):
        registry.get_model("3")
    assert upload(3, parent_model=first.name).version_id == "4"


def test_models_are_listed_by_what_they_are(aiplatform, upload):
    for index, team in enumerate(["risk", "risk", "growth"]):
        upload(display_name=f"m{index}", labels={"team": team})

    def listed(**asked):
        return [one.display_name for one in aiplatform.Model.list(**asked)]

    assert sorted(listed()) == ["m0", "m1", "m2"]
    assert listed(filter='display_name="m1"') == ["m1"]
    assert sorted(listed(filter="labels.team=risk")) == ["m0", "m1"]
    assert listed(filter='labels.team=risk AND display_name!="m0"') == ["m1"]
    assert listed(order_by="create_time desc") == ["m2", "m1", "m0"]
    assert listed(order_by="display_name") == ["m0", "m1", "m2"]
    assert listed(filter='display_name="none"') == []
    with pytest.raises(exceptions.BadRequest, match="filter"):
        listed(filter="display_name=")


def test_a_list_is_read_page_by_page(aiplatform, upload, project):
    names = {upload(display_name=f"m{index}").name for index in range(5)}
    client = aiplatform.initializer.global_config.create_client(aiplatform.utils.ModelClientWithOverride)
    request = {"parent": f"projects/{project}/locations/us-central1", "page_size": 2}
    pages = list(client.list_models(request=request).pages)
    assert [len(page.models) for page in pages] == [2, 2, 1]
    assert {one.name.rpartition("/")[2] for page in pages for one in page.models} == names


def test_a_model_is_updated(aiplatform, upload):
    model = upload(labels={"a": "1"})
    model.update(display_name="renamed", description="said", labels={"b": "2"})
    for one in (model, aiplatform.Model(model.resource_name)):
        assert (one.display_name, one.description, one.labels) == ("renamed", "said", {"b": "2"})
    assert aiplatform.Model.list(filter='display_name="renamed"')[0].name == model.name


def test_a_model_is_copied_as_another_one_and_as_a_version(aiplatform, upload):
    model = upload(1, display_name="source")
    other = upload(2, display_name="other")
    copied = model.copy(destination_location="us-central1", destination_model_id="copied")
    assert (copied.name, copied.version_id, copied.display_name) == ("copied", "1", "source")
    again = model.copy(destination_location="us-central1", destination_parent_model=other.name)
    assert (again.resource_name, again.version_id) == (other.resource_name, "2")
    assert aiplatform.Model(f"{other.name}@2").uri.endswith("constant-1")


def test_a_model_is_deleted_unless_it_is_deployed(aiplatform, upload):
    model = upload()
    endpoint = model.deploy(machine_type="n1-standard-2")
    with pytest.raises(exceptions.GoogleAPICallError, match=endpoint.name) as refused:
        model.delete()
    assert "deployed" in refused.value.message
    endpoint.delete(force=True)
    model.delete()
    with pytest.raises(exceptions.NotFound):
        aiplatform.Model(model.resource_name)


def test_it_has_no_evaluations(upload):
    assert upload().list_model_evaluations() == []


def test_a_local_folder_is_staged_by_the_sdk(aiplatform, place):
    model = aiplatform.Model.upload(
        display_name="staged",
        artifact_uri=str(Path(place.models, "twice-plus-1")),
        serving_container_image_uri=SKLEARN,
    )
    assert "vertex_ai_auto_staging" in model.uri
    assert model.deploy().predict([[3.0]]).predictions == [pytest.approx(7)]


def test_files_are_uploaded_by_the_kind_of_model(aiplatform, place):
    sklearn = aiplatform.Model.upload_scikit_learn_model_file(
        model_file_path=str(Path(place.models, "twice-plus-1", "model.joblib")),
        sklearn_version="1.0",
        display_name="line",
        staging_bucket=f"gs://{STAGING}",
    )
    assert sklearn.container_spec.image_uri == f"{PREDICTIONS}/sklearn-cpu.1-0:latest"
    xgboost = aiplatform.Model.upload_xgboost_model_file(
        model_file_path=str(Path(place.models, "constant-2", "model.bst")),
        xgboost_version="1.5",
        staging_bucket=f"gs://{STAGING}/here",
    )
    endpoint = aiplatform.Endpoint.create(display_name="both")
    endpoint.deploy(sklearn)
    assert endpoint.predict([[1.0], [2.0]]).predictions == pytest.approx([3, 5])
    endpoint.deploy(xgboost, traffic_percentage=100)
    assert endpoint.predict([[1.0], [2.0]]).predictions == [2, 2]


def test_any_artifact_is_uploaded_below_the_sdks_classes(aiplatform, client, project):
    """`Model.upload` insists on an image; the service does not, and looks at what the artifact is."""
    begun = client("Model").upload_model(
        parent=f"projects/{project}/locations/us-central1",
        model={"display_name": "python", "artifact_uri": f"gs://{BUCKET}/python"},
    )
    endpoint = aiplatform.Model(begun.result().model).deploy(machine_type="n1-standard-2")
    assert endpoint.predict([{"any": ["thing", None]}]).predictions == [{"any": ["thing", None]}]


@pytest.mark.parametrize(
    ("image", "artifact", "said"),
    [
        (f"{PREDICTIONS}/tf2-cpu.2-15:latest", "constant-1", "takes TensorFlow models as saved_model.pb"),
        ("us-docker.pkg.dev/me/mine/own:1", "constant-1", "only the folder of an application can be run"),
        (f"{PREDICTIONS}/xgboost-cpu.3-7-1:latest", "constant-1", "there is no such prebuilt container"),
        (XGBOOST, "nothing", r"takes XGBoost models as model.bst or .*; the artifact has 1 file "),
        (XGBOOST, "missing", "missing"),
    ],
)
def test_what_cannot_be_served_is_refused_at_upload(aiplatform, image, artifact, said):
    with pytest.raises(exceptions.GoogleAPICallError, match=said):
        aiplatform.Model.upload(
            display_name="m", artifact_uri=f"gs://{BUCKET}/{artifact}", serving_container_image_uri=image
        )
    assert aiplatform.Model.list() == []
