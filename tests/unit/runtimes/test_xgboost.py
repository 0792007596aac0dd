from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.runtimes.asking import predict, same
from tests.zoo.xgboost import CASES
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.signature import Signature, TensorSpec
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.registry import detect
from trivet.runtimes.xgboost import RUNTIME


@pytest.fixture(scope="module")
def models(zoo: Any) -> dict[str, Path]:
    return {case.name: zoo(case) for case in CASES}


@pytest.mark.parametrize(
    ("name", "version", "newer"),
    [
        ("xgboost-binary", b'"version":[3,2,0]', b'"version":[99,1,2]'),
        ("xgboost-missing", b"i\x03i\x02i\x00}", b"i\x63i\x01i\x02}"),
    ],
)
def test_a_file_newer_than_the_library_is_refused(
    name: str, version: bytes, newer: bytes, models: dict[str, Path], tmp_path: Path
) -> None:
    import xgboost

    installed = [int(part) for part in xgboost.__version__.split(".")]
    version = version.replace(b"3,2,0", ",".join(map(str, installed)).encode())
    version = version.replace(b"i\x03i\x02i\x00", b"".join(b"i%c" % part for part in installed))
    content = models[name].read_bytes()
    assert version in content
    (tmp_path / "model").write_bytes(content.replace(version, newer))
    with pytest.raises(FailedPrecondition, match=r"written by XGBoost 99\.1\.2, but .* is installed"):
        RUNTIME.load(Artifact(tmp_path / "model"))


def test_declared_classes_name_the_labels(models: dict[str, Path]) -> None:
    declared = Signature(inputs=(), classes=("setosa", "versicolor", "virginica"))
    case = next(case for case in CASES if case.name == "xgboost-multiclass")
    predictor = RUNTIME.load(Artifact(models[case.name], declared))
    numbers = case.expect(models[case.name], case.rows, "labels")
    assert predict(predictor, case.rows).tolist() == [declared.classes[number] for number in numbers]
    assert predictor.signature.classes == declared.classes


def test_an_unknown_category_is_refused(models: dict[str, Path]) -> None:
    predictor = RUNTIME.load(Artifact(models["xgboost-categories"]))
    assert predictor.signature.inputs[1] == TensorSpec("size", "string", nullable=True)
    with pytest.raises(InvalidArgument, match=r"size: 'huge' is not a category .*known: 'large', 'small'"):
        predict(predictor, [[0.1, "huge", 10, 0.2]])


def test_categories_that_xgboost_garbles_are_refused(tmp_path: Path) -> None:
    import pandas as pd
    from xgboost import XGBRegressor

    frame = pd.DataFrame({"size": pd.Categorical(["groß", "klein"] * 20)})
    model = XGBRegressor(n_estimators=2, n_jobs=1, enable_categorical=True)
    model.fit(frame, np.arange(40)).save_model(tmp_path / "model.json")
    with pytest.raises(FailedPrecondition, match="other than ASCII"):
        RUNTIME.load(Artifact(tmp_path / "model.json"))


def test_a_linear_model_is_answered_as_xgboost_does(tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    data = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    model = XGBRegressor(n_estimators=5, n_jobs=1, booster="gblinear").fit(data, data[:, 0])
    model.save_model(tmp_path / "model.json")
    predictor = RUNTIME.load(Artifact(tmp_path / "model.json"))
    assert not predictor.traits.thread_safe
    assert same(predict(predictor, data.tolist()), model.predict(data))


def test_a_booster_in_a_pickle_is_recognised_and_asks_for_permission(tmp_path: Path) -> None:
    import pickle

    import xgboost
    from sklearn.datasets import load_iris

    data = xgboost.DMatrix(load_iris().data, load_iris().target, nthread=1)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, data, 3)
    for protocol in range(6):
        file = tmp_path / f"model{protocol}"
        file.write_bytes(pickle.dumps(booster, protocol))
        assert detect(file) == ("xgboost", file)
        with pytest.raises(PermissionDenied, match="--allow-pickle"):
            RUNTIME.load(Artifact(file))
        predictor = RUNTIME.load(Artifact(file, None, Permissions(pickle=True)))
        answered = predict(predictor, load_iris().data.tolist(), output="booster")
        assert same(answered, booster.predict(data))


def test_a_pickle_of_a_newer_library_is_refused(tmp_path: Path) -> None:
    import pickle

    import xgboost

    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix([[1.0], [2.0]], [1.0, 2.0], nthread=1), 1)
    installed = b"".join(b"i%c" % int(part) for part in xgboost.__version__.split("."))
    content = pickle.dumps(booster)
    assert content.count(installed + b"}") == 2
    (tmp_path / "model.pkl").write_bytes(content.replace(installed + b"}", b"i\x63i\x01i\x02}"))
    with pytest.raises(FailedPrecondition, match=r"written by XGBoost 99\.1\.2"):
        RUNTIME.load(Artifact(tmp_path / "model.pkl", None, Permissions(pickle=True)))
