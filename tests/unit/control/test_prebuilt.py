"""Prebuilt containers: the oracle answers as Google's library does (sk_xg_prediction_lib)."""

import json
import pickle
from functools import cache

import joblib
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trivet.codecs.json_body import BodyDecoder, BodyLimits, encode_predictions
from trivet.control import prebuilt
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec, load

US = "us-docker.pkg.dev/vertex-ai/prediction"
RESTRICTED = "us-docker.pkg.dev/vertex-ai-restricted/prediction"
PICKLES = Permissions(pickle=True)
CANCER, IRIS, DIABETES = load_breast_cancer(), load_iris(), load_diabetes()


@pytest.mark.parametrize(
    ("image", "framework", "version", "accelerator"),
    [
        (f"{US}/sklearn-cpu.1-3:latest", "sklearn", "1.3", "cpu"),
        (f"{US}/xgboost-cpu.0-90:latest", "xgboost", "0.90", "cpu"),
        ("europe-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-15:latest", "tensorflow", "2.15", "gpu"),
        ("asia-docker.pkg.dev/vertex-ai/prediction/tf-cpu.1-15:latest", "tensorflow", "1.15", "cpu"),
        (f"{RESTRICTED}/tf_opt-tpu.nightly:latest", "tensorflow", "nightly", "tpu"),
        ("gcr.io/cloud-aiplatform/prediction/tf2-cpu.2-2:latest", "tensorflow", "2.2", "cpu"),
        ("eu.gcr.io/cloud-aiplatform/prediction/sklearn-cpu.0-23:latest", "sklearn", "0.23", "cpu"),
        (f"{US}/pytorch-gpu.2-4:latest", "torch", "2.4", "gpu"),
        (f"{US}/xgboost-cpu.2-1", "xgboost", "2.1", "cpu"),
        (f"{US}/xgboost-cpu.2-1:latest@sha256:{'a' * 64}", "xgboost", "2.1", "cpu"),
        (f"{US}/sklearn-cpu.1-9:latest", "sklearn", "1.9", "cpu"),  # of a year to come
        (f"{US}/xgboost-cpu.10-0:latest", "xgboost", "10.0", "cpu"),
    ],
)  # fmt: skip
def test_an_image_stands_for_a_runtime(image, framework, version, accelerator):
    found = prebuilt.resolve(image)
    assert (found.framework, found.version, found.accelerator) == (framework, version, accelerator)
    assert found.image == image


def test_every_published_image_is_in_the_table():
    published = prebuilt._published()
    assert len(published) == len(set(published)) == 10 + 11 + 30 + 2 + 26 + 20
    for name in published:
        for region in ("us", "europe", "asia"):
            place = "vertex-ai-restricted" if name.startswith("tf_opt") else "vertex-ai"
            assert prebuilt.resolve(f"{region}-docker.pkg.dev/{place}/prediction/{name}:latest")


@pytest.mark.parametrize(
    "image",
    [
        "gcr.io/mine/sklearn-cpu.1-3:latest",
        "us-docker.pkg.dev/my-project/prediction/sklearn-cpu.1-3:latest",
        "us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-3:latest",
        "us-docker.pkg.dev/vertex-ai/vertex-vision-model-garden-dockers/pytorch-vllm-serve:latest",
        "evil.com/us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-3:latest",
        "us-docker.pkg.dev.evil.com/vertex-ai/prediction/sklearn-cpu.1-3:latest",
        "local/sklearn:1",
        "",
    ],
)
def test_any_other_image_is_somebodys_own(image):
    assert prebuilt.resolve(image) is None


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("sklearn-cpu.13:latest", "no such prebuilt container; did you mean sklearn-cpu.1-3"),
        ("sklearn-cpu.1-1:latest", "did you mean sklearn-cpu"),
        ("xgboost-gpu.2-1:latest", "did you mean xgboost-cpu.2-1"),
        ("xgb-cpu.2-1:latest", "did you mean xgboost-cpu.2-1"),
        ("something:latest", "there is no such prebuilt container$"),
        ("sklearn-cpu.1-3:v1", "expected the tag latest"),
        ("sklearn-cpu.nightly:latest", "no such prebuilt container"),
    ],
)
def test_an_image_that_google_never_published_is_refused(image, message):
    with pytest.raises(InvalidArgument, match=message):
        prebuilt.resolve(f"{US}/{image}")


@given(st.text(max_size=60) | st.text(max_size=20).map(lambda end: f"{US}/sklearn-cpu.{end}"))
def test_any_text_is_resolved_or_refused(image):
    try:
        found = prebuilt.resolve(image)
    except InvalidArgument:
        return
    assert found is None or found.framework == "sklearn"


def container(name):
    found = prebuilt.resolve(f"{US}/{name}:latest")
    assert found is not None
    return found


def test_what_is_expected_is_named_and_what_is_there_counted(tmp_path):
    (tmp_path / "model.json").write_text("")
    (tmp_path / "assets").mkdir()
    with pytest.raises(FailedPrecondition) as refused:
        prebuilt.check(container("xgboost-cpu.2-1"), tmp_path)
    assert str(refused.value) == (
        f"image '{US}/xgboost-cpu.2-1:latest' takes XGBoost models as model.bst or model.joblib or "
        "model.pkl; the artifact has 1 file and 1 folder of other names"
    )


def test_the_folder_that_was_meant_is_named(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/model.pkl").write_text("")
    with pytest.raises(FailedPrecondition, match="must be the folder that holds it directly, 1/"):
        prebuilt.check(container("sklearn-cpu.1-3"), tmp_path)


def test_which_of_two_is_meant_is_not_guessed(tmp_path):
    for name in ("model.pkl", "model.joblib"):
        (tmp_path / name).write_text("")
    with pytest.raises(FailedPrecondition, match=r"has model\.joblib and model\.pkl: keep one"):
        prebuilt.check(container("sklearn-cpu.1-3"), tmp_path)


def test_a_saved_model_is_its_folder(tmp_path):
    (tmp_path / "saved_model.pb").write_text("")
    assert prebuilt.check(container("tf2-cpu.2-15"), tmp_path) == tmp_path


class Matrix:
    """Models as users train them, and what Google's containers answer for them."""

    @staticmethod
    @cache
    def classifier():
        return xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(CANCER.data, CANCER.target)

    @staticmethod
    @cache
    def several():
        return xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(IRIS.data, IRIS.target)

    @staticmethod
    @cache
    def stopped():
        model = xgboost.XGBRegressor(n_estimators=60, max_depth=3, n_jobs=1, early_stopping_rounds=3)
        data, target = DIABETES.data, DIABETES.target
        return model.fit(data[50:], target[50:], eval_set=[(data[:50], target[:50])], verbose=False)

    @staticmethod
    @cache
    def trained():
        data = xgboost.DMatrix(IRIS.data, IRIS.target, nthread=1)
        return xgboost.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, data, 5)


DATA = {"classifier": CANCER, "several": IRIS, "stopped": DIABETES, "trained": IRIS}


def booster(model):
    return model if isinstance(model, xgboost.Booster) else model.get_booster()


def bst(model, folder, encoding):
    """Write model.bst as `save_model` does: UBJSON in XGBoost 2 and 3, which know no suffix .bst."""
    (folder / "model.bst").write_bytes(booster(model).save_raw(encoding))


SAVED = {
    "ubj": lambda model, folder: bst(model, folder, "ubj"),
    "json": lambda model, folder: bst(model, folder, "json"),
    "joblib": lambda model, folder: joblib.dump(booster(model), folder / "model.joblib"),
    "compressed": lambda model, folder: joblib.dump(booster(model), folder / "model.joblib", compress=3),
    "pickle": lambda model, folder: (folder / "model.pkl").write_bytes(pickle.dumps(booster(model))),
    "old pickle": lambda model, folder: (folder / "model.pkl").write_bytes(pickle.dumps(booster(model), 2)),
    "wrapped": lambda model, folder: joblib.dump(model, folder / "model.joblib"),
}


def answers(name, folder, rows):
    """Load as a deployment would, and answer a request that has no parameters."""
    image = container(name)
    path = prebuilt.check(image, folder, PICKLES)
    model = load(ModelSpec(ModelRef("m"), path, image.framework, image.output), PICKLES)
    decoder = BodyDecoder(model.info.signature, BodyLimits())
    instances, _ = decoder.decode(json.dumps({"instances": rows}).encode())[:2]
    parameters = model.info.signature.resolve(None, model.info.defaults)
    return json.loads(encode_predictions(model.predictor.predict(instances, parameters)))


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("kind", DATA)
def test_xgboost_answers_what_its_booster_predicts(kind, saved, tmp_path):
    model, rows = getattr(Matrix, kind)(), DATA[kind].data[::9].tolist()
    SAVED[saved](model, tmp_path)
    expected = booster(model).predict(xgboost.DMatrix(np.array(rows), nthread=1))
    answered = answers("xgboost-cpu.2-1", tmp_path, rows)
    assert np.array_equal(np.array(answered, np.float32), expected)
    assert all(isinstance(one, list if expected.ndim > 1 else float) for one in answered)


@pytest.mark.parametrize("saved", ["model.joblib", "model.pkl"])
def test_sklearn_answers_what_predict_gives(saved, tmp_path):
    names = np.array(IRIS.target_names)[IRIS.target]
    models = [
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, names), IRIS.data),
        (LogisticRegression(max_iter=5000).fit(CANCER.data, CANCER.target), CANCER.data),
        (RandomForestRegressor(5, random_state=0).fit(DIABETES.data, DIABETES.target), DIABETES.data),
    ]
    for model, data in models:
        dump = (
            joblib.dump if saved.endswith("joblib") else lambda one, path: path.write_bytes(pickle.dumps(one))
        )
        dump(model, tmp_path / saved)
        rows = data[::9].tolist()
        assert answers("sklearn-cpu.1-3", tmp_path, rows) == model.predict(np.array(rows)).tolist()


@pytest.mark.parametrize("image", ["sklearn-cpu.1-3", "xgboost-cpu.2-1"])
def test_a_pickle_needs_the_operators_permission(image, tmp_path):
    joblib.dump(Matrix.classifier(), tmp_path / "model.joblib")
    found = container(image)
    for call in (
        lambda: prebuilt.check(found, tmp_path, Permissions()),
        lambda: load(
            ModelSpec(ModelRef("m"), prebuilt.check(found, tmp_path), found.framework), Permissions()
        ),
    ):
        with pytest.raises(PermissionDenied, match=r"--allow-pickle or artifacts\.allow_pickle = true"):
            call()


def test_a_pickle_of_something_else_is_refused_by_name(tmp_path):
    joblib.dump(LogisticRegression(max_iter=5000).fit(IRIS.data, IRIS.target), tmp_path / "model.joblib")
    with pytest.raises(FailedPrecondition, match="holds a LogisticRegression, which is no XGBoost model"):
        answers("xgboost-cpu.2-1", tmp_path, IRIS.data[:1].tolist())
    joblib.dump(Matrix.trained(), tmp_path / "model.joblib")
    with pytest.raises(FailedPrecondition, match="holds an XGBoost Booster: its framework is xgboost"):
        answers("sklearn-cpu.1-3", tmp_path, IRIS.data[:1].tolist())
