"""Google's prebuilt images, on a real server: the artifacts that they take, and as they answer."""

import pytest

from tests.integration.plane import Failed, Plane
from tests.integration.server import up
from tests.zoo.torch import archived

IMAGES = "us-docker.pkg.dev/vertex-ai/prediction"
HANDLER = """
def handle(data, context):
    if data is None:  # as TorchServe calls it first
        return None
    return [{"got": row.get("data") or row.get("body")} for row in data]
"""


@pytest.fixture
def plane(tmp_path):
    with up(tmp_path / "data") as server:
        yield Plane(server.client)
        assert server.stop() == 0


def test_an_archive_of_torchserve_is_answered_by_its_handler(plane, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    archived(folder / "model.mar", {"handler.py": HANDLER}, handler="handler.py")
    image = {"imageUri": f"{IMAGES}/pytorch-cpu.2-4:latest"}
    model = plane.upload(folder, "handled", containerSpec=image)
    plane.endpoint("e")
    plane.deploy("e", model)
    answer = plane.predict("e", [{"data": "text"}, {"data": "more"}])
    assert answer["predictions"] == [{"got": "text"}, {"got": "more"}]


def test_frameworks_that_are_not_served_yet_are_named(plane, tmp_path):
    with pytest.raises(Failed, match="TensorFlow models are not served yet"):
        plane.upload(tmp_path, "flow", containerSpec={"imageUri": f"{IMAGES}/tf2-cpu.2-15:latest"})
    with pytest.raises(Failed, match="images of one's own are not run yet"):
        plane.upload(tmp_path, "mine", containerSpec={"imageUri": "example.com/mine:1"})
