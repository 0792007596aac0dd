"""Google's prebuilt images, on a real server: the artifacts that they take, and as they answer."""

import numpy as np
import pytest

from tests import saved_models
from tests.integration.plane import Plane
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


def test_a_saved_model_is_answered_as_tensorflow_serving_does(plane, saved_model):
    folder = saved_model(saved_models.lookup)
    image = {"imageUri": f"{IMAGES}/tf2-cpu.2-15:latest"}
    model = plane.upload(folder, "flow", containerSpec=image)
    plane.endpoint("flows")
    plane.deploy("flows", model)
    answer = plane.predict("flows", [{"colour": ["red"], "size": [1.5]}, {"colour": "blue", "size": 2}])
    columns = {"colour": np.array([["red"], ["blue"]]), "size": np.array([[1.5], [2.0]], np.float32)}
    expected = saved_models.answers(folder, columns)["output_0"]
    assert np.allclose(answer["predictions"], expected, rtol=1e-6, atol=1e-6)
