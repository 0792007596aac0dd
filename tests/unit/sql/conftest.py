"""What the tests of SQL share: a folder with models, trained once, and a place to use them in."""

import shutil

import pytest

from tests.unit.sql.models import opened, trained

USED = ("onnx-regressor", "onnx-zipmap", "xgboost-binary", "xgboost-bare", "python-linear")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """Return a folder with the files of some models, by the names of the zoo."""
    folder = tmp_path_factory.mktemp("models")
    for name in USED:
        trained(name, folder)
    return folder


@pytest.fixture
def world(tmp_path, model_files):
    """Return an empty place; relative paths lead to a folder with `models`."""
    shutil.copytree(model_files, tmp_path / "models")
    world = opened(tmp_path)
    yield world
    world.place.close()
