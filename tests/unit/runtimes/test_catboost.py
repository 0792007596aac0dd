from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.runtimes.asking import predict, same
from tests.zoo.catboost import CASES
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.instances import Instances
from trivet.core.signature import TensorSpec
from trivet.runtimes.base import Artifact
from trivet.runtimes.catboost import RUNTIME


@pytest.fixture(scope="module")
def models(zoo: Any) -> dict[str, Path]:
    return {case.name: zoo(case) for case in CASES}


def test_nothing_is_written_or_printed(
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for case in CASES:
        predict(RUNTIME.load(Artifact(models[case.name])), case.rows)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_types_of_a_mixed_model(models: dict[str, Path]) -> None:
    assert RUNTIME.load(Artifact(models["catboost-mixed"])).signature.inputs == (
        TensorSpec("size", "category"),
        TensorSpec("petal_length", "float32", nullable=True),
        TensorSpec("width", "category"),
        TensorSpec("petal_width", "float32", nullable=True),
    )


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_values_that_catboost_cannot_hold_are_refused(value: Any, models: dict[str, Path]) -> None:
    predictor = RUNTIME.load(Artifact(models["catboost-mixed"]))
    with pytest.raises(InvalidArgument, match="CatBoost refuses the values"):
        predict(predictor, [[value, 1.5, 3, 0.2]])


@pytest.mark.parametrize("labels", [[False, True], [0.5, 1.5], [7, 9], ["no", "yes"]])
def test_labels_keep_their_type(labels: list[Any], tmp_path: Path) -> None:
    from catboost import CatBoostClassifier

    data = np.arange(40.0).reshape(-1, 1)
    model = CatBoostClassifier(iterations=5, thread_count=1, verbose=False, allow_writing_files=False)
    model.fit(data, np.array(labels)[(data[:, 0] > 20).astype(int)]).save_model(str(tmp_path / "model.cbm"))
    predictor = RUNTIME.load(Artifact(tmp_path / "model.cbm"))
    assert predictor.signature.classes == tuple(labels)
    assert predict(predictor, [[1.0], [39.0]]).tolist() == labels


def test_texts_are_taken_and_embeddings_refused(tmp_path: Path) -> None:
    from catboost import CatBoostClassifier, Pool

    settings = {"iterations": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    rows = [["good dog" if i % 2 else "bad cat", float(i % 5)] for i in range(60)]
    labels = [i % 2 for i in range(60)]
    model = CatBoostClassifier(**settings).fit(Pool(rows, labels, text_features=[0]))
    model.save_model(str(tmp_path / "text.cbm"))
    predictor = RUNTIME.load(Artifact(tmp_path / "text.cbm"))
    assert same(predict(predictor, rows[:9], "probabilities"), model.predict_proba(rows[:9]))

    vectors = [[[float(i % 2), i / 60], float(i % 5)] for i in range(60)]
    pool = Pool(vectors, labels, embedding_features=[0], feature_names=["face", "age"])
    CatBoostClassifier(**settings).fit(pool).save_model(str(tmp_path / "embedding.cbm"))
    with pytest.raises(FailedPrecondition, match=r"embedding features cannot be served \(face\)"):
        RUNTIME.load(Artifact(tmp_path / "embedding.cbm"))


@pytest.mark.parametrize("loss", ["Logloss", "Poisson", "MultiRMSE"])
def test_merged_models_are_taken(loss: str, tmp_path: Path) -> None:
    import catboost

    kind = catboost.CatBoostClassifier if loss == "Logloss" else catboost.CatBoostRegressor
    settings = {"iterations": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    data = np.random.default_rng(0).normal(size=(60, 2))
    targets = {"Logloss": data[:, 0] > 0, "Poisson": np.exp(data[:, 0]), "MultiRMSE": data}[loss]
    parts = [kind(loss_function=loss, random_seed=seed, **settings).fit(data, targets) for seed in (1, 2)]
    path = tmp_path / "model.cbm"
    catboost.sum_models(parts).save_model(str(path))
    library = kind().load_model(str(path))
    predictor = RUNTIME.load(Artifact(path))
    rows = data.tolist()
    if loss == "Logloss":
        assert same(predict(predictor, rows, "probabilities"), library.predict_proba(data))
    else:
        assert same(predict(predictor, rows), library.predict(data))


RANDOM = np.random.default_rng(0)
QUIET = {"iterations": 8, "depth": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}


def trained(loss: str, path: Path) -> Any:
    """Train a model of this loss on numbers, some of which are missing, and keep it."""
    import catboost

    data = RANDOM.random((80, 4)).astype(np.float32)
    data[::7, 1] = np.nan
    target = {"MultiRMSE": data[:, [0, 3]], "YetiRank": data[:, 0] > 0.5}.get(loss, data[:, 0] + data[:, 2])
    groups = np.repeat(np.arange(8), 10) if loss == "YetiRank" else None
    model = catboost.CatBoost({"loss_function": loss, **QUIET})
    model.fit(catboost.Pool(data, target, group_id=groups)).save_model(str(path))
    return catboost.CatBoost().load_model(str(path))


@pytest.mark.parametrize("loss", ["RMSE", "Quantile:alpha=0.3", "MultiRMSE", "YetiRank", "Poisson"])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_numbers_of_any_count_are_answered_as_the_library_does(loss: str, count: int, tmp_path: Path) -> None:
    model = trained(loss, tmp_path / "model.cbm")
    kind = "Exponent" if loss == "Poisson" else "RawFormulaVal"
    rows = RANDOM.normal(size=(count, 4)).astype(np.float32)
    rows[::3, 1], rows[1::5, 2] = np.nan, np.inf
    expected = model.predict(rows, prediction_type=kind, thread_count=1)
    predictor = RUNTIME.load(Artifact(tmp_path / "model.cbm"))
    for given in (
        rows,
        np.asfortranarray(rows),
        np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape),
    ):
        answer = predictor.predict(Instances({"features": given}, count), {})
        assert same(answer.columns["prediction"], expected)


def test_options_of_the_training_are_not_read_for_each_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained("RMSE", tmp_path / "model.cbm")
    predictor = RUNTIME.load(Artifact(tmp_path / "model.cbm"))
    monkeypatch.setattr("catboost.CatBoost.predict", None)
    assert predict(predictor, [[1.0, 2.0, 3.0, 4.0]]).shape == (1,)


def classifier(path: Path, classes: int, threshold: float | None = None) -> Any:
    """Train a classifier, keep it, and return it."""
    from catboost import CatBoostClassifier

    data = RANDOM.integers(0, 5, (200, 3)).astype(np.float32)
    model = CatBoostClassifier(**QUIET).fit(data, data[:, :2].sum(axis=1) % classes)
    if threshold is not None:
        model.set_probability_threshold(threshold)
    model.save_model(str(path))
    return model


@pytest.mark.parametrize(("classes", "threshold"), [(2, None), (2, 0.2), (2, 0.55), (4, None)])
def test_labels_are_those_of_the_library_though_it_is_asked_but_once(
    classes: int, threshold: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier(tmp_path / "model.cbm", classes, threshold)
    rows = RANDOM.integers(0, 5, (300, 3)).astype(np.float32)
    expected, scores = model.predict(rows).reshape(-1), model.predict_proba(rows)
    predictor = RUNTIME.load(Artifact(tmp_path / "model.cbm"))
    usual, asked = type(model).__bases__[0].predict, []
    monkeypatch.setattr(
        "catboost.CatBoost.predict",
        lambda self, pool, **more: asked.append(more["prediction_type"]) or usual(self, pool, **more),
    )
    instances = Instances({"features": rows}, len(rows))
    assert same(predictor.predict(instances, {"output": "labels"}).columns["predicted_class"], expected)
    detailed = predictor.predict(instances, {"output": "detailed"}).columns
    assert same(detailed["predicted_class"], expected)
    assert same(detailed["scores"], scores)
    explained = predictor.predict(instances, {"output": "explanations"}).columns
    assert same(explained["predicted_class"], expected)
    assert asked == ["Probability"] * 3


@pytest.mark.parametrize("classes", [2, 4])
def test_the_library_is_asked_for_labels_where_probabilities_are_nearly_equal(
    classes: int, tmp_path: Path
) -> None:
    model = classifier(tmp_path / "model.cbm", classes)
    predictor = RUNTIME.load(Artifact(tmp_path / "model.cbm"))
    asked: list[str] = []

    class Torn:
        def answer(self, pool: Any, kind: str) -> Any:
            asked.append(kind)
            if kind == "Class":
                return np.full((2, 1), model.classes_[1])
            return np.array(
                [[0.5, 0.5], [0.7, 0.3]] if classes == 2 else [[0.3, 0.3, 0.2, 0.2], [0, 0, 0, 1]]
            )

        def pool(self, instances: Instances) -> None:
            return None

    predictor._model = Torn()  # type: ignore[attr-defined]
    answer = predictor.predict(Instances({"features": np.zeros((2, 3))}, 2), {"output": "labels"})
    assert answer.columns["predicted_class"].tolist() == [model.classes_[1]] * 2
    assert asked == ["Probability", "Class"]


def _refuses(*_: Any) -> None:
    raise ValueError("unknown prediction type")


@pytest.mark.parametrize("quick", [_refuses, lambda *_: None, lambda *_: np.zeros((1, 2))])
def test_a_library_without_the_quick_way_is_asked_as_usual(
    quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained("RMSE", tmp_path / "model.cbm")
    usual = type(model)._base_predict
    monkeypatch.setattr(
        "catboost.CatBoost._base_predict",
        lambda self, pool, kind, *more: (quick if kind.startswith("Internal") else usual)(
            self, pool, kind, *more
        ),
    )
    rows = [[1.0, 2.0, 3.0, 4.0], [0.1, None, 0.3, 0.4]]
    expected = model.predict(np.array(rows, np.float32))
    assert same(predict(RUNTIME.load(Artifact(tmp_path / "model.cbm")), rows), expected)
