import pytest

from tests.unit.control.conftest import FRAUD, HERE
from trivet.control import choice
from trivet.core.errors import Code, InvalidArgument

IMAGES = "us-docker.pkg.dev/vertex-ai/prediction"


def document(image, **fields):
    return {"artifactUri": "gs://bucket/model", "containerSpec": {"imageUri": image}, **fields}


def test_a_prebuilt_image_stands_for_a_runtime():
    assert choice.framework(document(f"{IMAGES}/sklearn-cpu.1-3:latest")) == "sklearn"


def test_without_an_image_the_artifact_will_say():
    assert choice.framework({"artifactUri": "gs://bucket/model"}) == ""
    assert choice.framework({"artifactUri": "gs://bucket/model", "containerSpec": {}}) == ""


def test_its_own_word_goes_first():
    assert choice.framework(document("example.com/mine:1", trivet={"framework": "onnx"})) == "onnx"


@pytest.mark.parametrize(
    ("image", "framework"), [("trivet/onnx", "onnx"), ("trivet/sklearn:1", "sklearn"), ("trivet", "")]
)
def test_an_image_of_ours_names_a_runtime_or_leaves_it_to_the_artifact(image, framework):
    assert choice.framework(document(image)) == framework


def test_an_image_of_ours_that_there_is_not_is_refused():
    with pytest.raises(InvalidArgument, match=r"model\.containerSpec\.imageUri: framework 'nonesuch'"):
        choice.framework(document("trivet/nonesuch"))


@pytest.mark.parametrize("image", ["example.com/mine:1", "/srv/mine", "file:///srv/mine", "mine"])
def test_any_other_image_is_the_models_own_container(image):
    assert choice.framework(document(image)) == "container"
    assert choice.framework({"containerSpec": {"imageUri": image}}) == "container"


def test_an_own_container_takes_any_files(tmp_path):
    assert choice.detected(document("mine"), "container", tmp_path) == "container"
    assert choice.to_load(document("mine"), tmp_path) == tmp_path


def test_images_that_were_never_published_are_refused():
    with pytest.raises(InvalidArgument, match="there is no such prebuilt container"):
        choice.framework(document(f"{IMAGES}/fortran-cpu.1-3:latest"))


def test_images_of_tensorflow_stand_for_its_runtime():
    for image in ("tf2-cpu.2-15", "tf_opt-cpu.nightly", "tf-gpu.1-15"):
        assert choice.framework(document(f"{IMAGES}/{image}:latest")) == "tensorflow"


def test_an_image_takes_its_own_files_and_answers_as_it_does(server):
    image = {"imageUri": f"{IMAGES}/xgboost-cpu.2-1:latest"}
    folder = server.folder / "model"
    folder.mkdir()
    (folder / "model.bst").write_bytes(b"trees")
    (folder / "notes.txt").write_text("mine")
    server.upload("fraud", artifactUri=str(folder), containerSpec=image)
    server.deploy(server.endpoint("scoring"))
    spec = server.plane.wish().models[0]
    assert (spec.framework, spec.output) == ("xgboost", "booster")
    assert spec.path == server.store.path(server.plane.model(FRAUD).artifact) / "model.bst"


def test_an_artifact_that_an_image_does_not_take_fails_the_upload(server):
    image = {"imageUri": f"{IMAGES}/xgboost-cpu.2-1:latest"}
    fields = {"displayName": "m", "artifactUri": str(server.artifact()), "containerSpec": image}
    operation = server.plane.upload_model(HERE, fields)
    server.work()
    assert server.failed(operation).code == Code.FAILED_PRECONDITION.value
    assert "takes XGBoost models as model.bst or" in server.failed(operation).message
    assert server.kept() == set()
