import tomllib
from importlib.metadata import version as installed

import pytest

from tests.unit.platforms.wanted import FRAUD, OWN, wanted
from trivet.core.containers import ContainerSpec
from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Version
from trivet.platforms.images import image


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.cbm").write_bytes(b"a model")
    return tmp_path / "model.cbm"


@pytest.fixture
def application(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\nCMD serve")
    return folder


def text(asked, name):
    return image(asked.versions[0], asked).bundle.texts[f"images/{asked.versions[0].label}/{name}"]


def copies(asked):
    found = image(asked.versions[0], asked).bundle.copies
    return {path.removeprefix(f"images/{asked.versions[0].label}"): local for path, local in found.items()}


def test_trivets_image_has_the_model_and_says_which(model):
    asked = wanted(Version("fraud", "2", files=model, framework="catboost"))
    assert copies(asked) == {"/model/model.cbm": model}
    settings = tomllib.loads(text(asked, "trivet.toml"))
    assert settings == {"models": {"fraud@2": {"path": "model/model.cbm"}}}


def test_what_lies_beside_a_file_goes_with_it(model):
    model.with_name("signature.json").write_text("{}")
    asked = wanted(Version("fraud", files=model, framework="catboost"))
    assert set(copies(asked)) == {"/model/model.cbm", "/model/signature.json"}


def test_what_is_not_in_the_files_is_in_the_settings(tmp_path, model):
    asked = wanted(Version("fraud", files=tmp_path, framework="xgboost", named=True, output="probabilities"))
    one = tomllib.loads(text(asked, "trivet.toml"))["models"]["fraud@1"]
    assert one == {"path": "model", "framework": "xgboost", "output": "probabilities"}


def test_libraries_are_installed_in_the_versions_that_are_here():
    lines = text(wanted(FRAUD), "requirements.txt").splitlines()
    assert lines[0] == f"trivet[catboost]=={installed('trivet')}"
    assert f"catboost=={installed('catboost')}" in lines


def test_packages_that_slim_images_lack_are_installed():
    assert "libgomp1" in text(wanted(Version("m", framework="lightgbm")), "Dockerfile")
    assert "apt-get" not in text(wanted(FRAUD), "Dockerfile")


def test_only_models_with_code_of_their_own_may_run_any():
    denied = "TRIVET_ARTIFACTS_ALLOW_PYTHON=false"
    assert denied in text(wanted(FRAUD), "Dockerfile")
    assert denied not in text(wanted(Version("m", framework="python")), "Dockerfile")


def test_files_of_a_storage_are_not_in_the_image(model):
    asked = wanted(Version("fraud", files=model, framework="catboost"), storage="gs://bucket/x")
    assert copies(asked) == {}
    assert "gcs" in text(asked, "requirements.txt").splitlines()[0]


def test_a_model_with_settings_of_its_own_is_in_the_image(model):
    version = Version("fraud", files=model, framework="catboost", output="detailed")
    with pytest.raises(InvalidArgument, match="leave --storage out"):
        image(version, wanted(version, storage="gs://bucket/x"))


def test_a_wheel_is_copied_and_installed(tmp_path):
    wheel = tmp_path / "trivet-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"")
    asked = wanted(FRAUD, install=str(wheel))
    assert copies(asked) == {f"/{wheel.name}": wheel}
    assert text(asked, "requirements.txt").startswith(f"./{wheel.name}[catboost]\n")
    assert f"COPY requirements.txt {wheel.name} ./" in text(asked, "Dockerfile")


def test_nothing_is_installed_into_an_image_that_has_trivet():
    made = text(wanted(FRAUD, install="none", base_image="localhost/trivet:1"), "Dockerfile")
    assert made.startswith("FROM localhost/trivet:1\n")
    assert "pip" not in made


def test_the_tag_is_another_for_another_content(model):
    version = Version("fraud", files=model, framework="catboost")
    before = image(version, wanted(version)).name
    assert before == image(version, wanted(version)).name
    model.write_bytes(b"b model")
    assert before != image(version, wanted(version)).name
    assert before.startswith("r.io/p/scoring:fraud-1-")


def test_an_image_that_is_built_must_have_a_name(model):
    version = Version("fraud", files=model, framework="catboost")
    with pytest.raises(InvalidArgument, match="--image: required"):
        image(version, wanted(version, image=""))
    assert image(OWN, wanted(OWN, image="")).name == "r.io/p/echo:1"


def test_the_image_of_an_application_is_as_it_was_named():
    assert image(OWN, wanted(OWN)).name == "r.io/p/echo:1"
    assert image(OWN, wanted(OWN)).folder == ""


def test_files_are_put_into_an_image_that_is_named(model):
    version = Version("echo", files=model, container=OWN.container)
    assert text(wanted(version), "Dockerfile") == "FROM r.io/p/echo:1\nCOPY model/ /model/\n"


def test_an_application_is_built_from_its_own_dockerfile(application, model):
    (application / ".dockerignore").write_text("*\n!app")
    spec = ContainerSpec(folder=application)
    assert text(wanted(Version("echo", container=spec)), "Dockerfile") == "FROM python:3.11-slim\nCMD serve\n"
    asked = wanted(Version("echo", files=model, container=spec))
    assert text(asked, "Dockerfile").startswith("FROM python:3.11-slim\nCMD serve\n\n")
    assert text(asked, "Dockerfile").endswith("COPY trivet-model/ /model/\n")
    assert text(asked, ".dockerignore").endswith("!trivet-model\n")
    assert copies(asked) == {"": application, "/trivet-model/model.cbm": model}


def test_an_application_with_a_procfile_gets_a_dockerfile(tmp_path):
    (tmp_path / "Procfile").write_text("web: gunicorn main:app\n")
    made = text(wanted(Version("echo", container=ContainerSpec(folder=tmp_path))), "Dockerfile")
    assert made.endswith('CMD ["sh", "-c", "gunicorn main:app"]\n')


def test_an_application_that_nothing_starts_is_refused(tmp_path):
    (tmp_path / "main.py").write_text("")
    version = Version("echo", container=ContainerSpec(folder=tmp_path))
    with pytest.raises(InvalidArgument, match="expected a Dockerfile or a Procfile in it, or a command"):
        image(version, wanted(version))
    started = Version("echo", container=ContainerSpec(folder=tmp_path, command=("python", "main.py")))
    assert image(started, wanted(started)).folder == "images/echo-1"
