import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.zoo.base import Case
from tests.zoo.catboost import CASES
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.core.predictor import Predictor
from trivet.core.signature import TensorSpec
from trivet.runtimes.base import Artifact
from trivet.runtimes.catboost import RUNTIME
from trivet.testing import check_runtime

NAMES = [case.name for case in CASES]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {case.name: case.train(tmp_path_factory.mktemp(case.name)) for case in CASES}


def predict(predictor: Predictor, rows: Any, output: str = "labels") -> Any:
    instances = RowDecoder(predictor.signature).decode(rows)
    parameters = {"output": output} if predictor.signature.parameters else {}
    (column,) = predictor.predict(instances, parameters).columns.values()
    return column


def same(actual: Any, expected: Any) -> bool:
    floats = actual.dtype.kind == "f"
    return (not floats or actual.dtype == expected.dtype) and np.array_equal(
        actual, expected, equal_nan=floats
    )


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_answers_are_those_of_the_library(case: Case, models: dict[str, Path]) -> None:
    path = models[case.name]
    predictor = RUNTIME.load(Artifact(path))
    for output in case.outputs:
        expected = case.expect(path, case.rows, output)
        assert same(predict(predictor, case.rows, output), expected)
        assert same(predict(predictor, case.rows[:1], output), expected[:1])


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_keeps_what_every_runtime_must_keep(case: Case, models: dict[str, Path]) -> None:
    check_runtime("catboost", models[case.name], case.rows)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_names_of_inputs(case: Case, models: dict[str, Path]) -> None:
    names = RUNTIME.load(Artifact(models[case.name])).signature.names
    assert list(names) == (list(case.names) or ["features"])


def test_is_recognised_by_content(models: dict[str, Path], tmp_path: Path) -> None:
    for name, path in models.items():
        copy = tmp_path / f"{name}.dat"
        copy.write_bytes(path.read_bytes())
        assert RUNTIME.recognises(copy)


OTHERS = (
    b"",
    b"{}",
    b'{"inputs": []}',
    b"CBM",
    b"tree",
    b"trees\n",
    b"\x08\x07",
    b"PK\x03\x04",
    b"\x80\x05",
    b"{l",
)


@pytest.mark.parametrize("content", OTHERS)
def test_other_files_are_not_recognised(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(content)
    assert not RUNTIME.recognises(tmp_path / "model")
    assert not RUNTIME.recognises(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 0.9])
def test_a_truncated_file_is_refused(share: float, models: dict[str, Path], tmp_path: Path) -> None:
    for path in models.values():
        content = path.read_bytes()
        broken = tmp_path / path.name
        broken.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(FailedPrecondition, match=path.name):
            RUNTIME.load(Artifact(broken))


def test_a_missing_library_is_named(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[catboost\]'"):
        RUNTIME.load(Artifact(models[NAMES[0]]))


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
