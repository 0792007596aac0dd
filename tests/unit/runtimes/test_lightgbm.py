from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.runtimes.asking import predict, same
from tests.zoo.lightgbm import CASES
from trivet.core.errors import FailedPrecondition
from trivet.core.signature import Signature, TensorSpec
from trivet.runtimes.base import Artifact
from trivet.runtimes.lightgbm import RUNTIME


@pytest.fixture(scope="module")
def models(zoo: Any) -> dict[str, Path]:
    return {case.name: zoo(case) for case in CASES}


def test_declared_classes_name_the_labels(models: dict[str, Path]) -> None:
    declared = Signature(inputs=(), classes=("setosa", "versicolor", "virginica"))
    case = next(case for case in CASES if case.name == "lightgbm-multiclass")
    predictor = RUNTIME.load(Artifact(models[case.name], declared))
    numbers = case.expect(models[case.name], case.rows, "labels")
    assert predict(predictor, case.rows).tolist() == [declared.classes[number] for number in numbers]


def test_line_ends_of_windows_change_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    case = CASES[0]
    path = models[case.name]
    (tmp_path / "model.txt").write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert RUNTIME.recognises(tmp_path / "model.txt")
    predictor = RUNTIME.load(Artifact(tmp_path / "model.txt"))
    assert same(predict(predictor, case.rows), case.expect(path, case.rows, "labels"))


@pytest.mark.parametrize(
    ("part", "other", "reason"),
    [
        ("tree_sizes=", "tree_sizes=9", "sizes"),
        ("left_child=1 ", "left_child=9 ", "sizes|nowhere"),
        ("left_child=1 ", "left_child=0 ", "nowhere"),
        ("split_feature=2", "split_feature=-", "feature"),
        ("num_leaves=7\n", "num_leaves=8\n", "leaves"),
        ("end of trees", "end of  tree", "truncated"),
        ("max_feature_idx=", "max_feature_idx=9", "features"),
        ("Tree=1\n", "Tree=7\n", "sizes"),
    ],
)
def test_a_file_that_would_end_the_process_is_refused(
    part: str, other: str, reason: str, models: dict[str, Path], tmp_path: Path
) -> None:
    text = models["lightgbm-binary"].read_text()
    assert part in text
    (tmp_path / "model.txt").write_text(text.replace(part, other, 1))
    with pytest.raises(FailedPrecondition, match=reason):
        RUNTIME.load(Artifact(tmp_path / "model.txt"))


def test_a_set_of_categories_that_does_not_exist_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    text = models["lightgbm-categories"].read_text()
    assert "cat_boundaries=0 " in text
    (tmp_path / "model.txt").write_text(text.replace("cat_boundaries=0 ", "cat_boundaries=8 ", 1))
    with pytest.raises(FailedPrecondition, match="categories"):
        RUNTIME.load(Artifact(tmp_path / "model.txt"))


@pytest.mark.parametrize(
    ("part", "other"),
    [("pandas_categorical:[[", "pandas_categorical:[[,"), ("feature: 1,2]", "feature: 1,9]")],
)
def test_broken_lists_of_categories_are_refused(
    part: str, other: str, models: dict[str, Path], tmp_path: Path
) -> None:
    text = models["lightgbm-categories"].read_text()
    assert part in text
    (tmp_path / "model.txt").write_text(text.replace(part, other))
    with pytest.raises(FailedPrecondition, match=r"model\.txt cannot be read"):
        RUNTIME.load(Artifact(tmp_path / "model.txt"))


def test_ordered_categories_must_be_declared(tmp_path: Path) -> None:
    import lightgbm
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "grade": pd.Categorical(
                rng.choice(["b", "a", "c"], 200), categories=["b", "a", "c"], ordered=True
            ),
            "kind": pd.Categorical(rng.choice(["x", "y"], 200)),
            "size": rng.normal(size=200),
        }
    )
    target = (frame["grade"] == "a") * 2 + (frame["kind"] == "x") + frame["size"]
    settings = {"verbose": -1, "num_threads": 1, "min_data_per_group": 5}
    booster = lightgbm.train(settings, lightgbm.Dataset(frame, target), 5)
    booster.save_model(tmp_path / "model.txt")
    with pytest.raises(FailedPrecondition, match=r"2 pandas columns .* signature\.json"):
        RUNTIME.load(Artifact(tmp_path / "model.txt"))
    declared = Signature(
        (
            TensorSpec("grade", "string", nullable=True),
            TensorSpec("kind", "string", nullable=True),
            TensorSpec("size", "float64", nullable=True),
        )
    )
    predictor = RUNTIME.load(Artifact(tmp_path / "model.txt", declared))
    rows = frame.astype(object).to_numpy().tolist()
    assert same(predict(predictor, rows), booster.predict(frame, num_threads=1))


def test_categories_are_not_given_to_an_integer_feature(tmp_path: Path) -> None:
    """The user names one integer feature as categorical, and another column holds categories."""
    import lightgbm
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "code": rng.integers(0, 5, 200),
            "kind": pd.Categorical(rng.choice(["x", "y", "z"], 200)),
            "size": rng.normal(size=200),
        }
    )
    target = (frame["code"] == 1) * 3 + (frame["kind"] == "y") * 2 + frame["size"]
    settings = {"verbose": -1, "num_threads": 1, "min_data_per_group": 5}
    data = lightgbm.Dataset(frame, target, categorical_feature=["code"])
    booster = lightgbm.train(settings, data, 5)
    booster.save_model(tmp_path / "model.txt")
    with pytest.raises(FailedPrecondition, match=r"1 pandas columns .* signature\.json"):
        RUNTIME.load(Artifact(tmp_path / "model.txt"))
    declared = Signature(
        (
            TensorSpec("code", "float64"),
            TensorSpec("kind", "string", nullable=True),
            TensorSpec("size", "float64", nullable=True),
        )
    )
    predictor = RUNTIME.load(Artifact(tmp_path / "model.txt", declared))
    rows = frame.astype(object).to_numpy().tolist()
    assert same(predict(predictor, rows), booster.predict(frame, num_threads=1))
