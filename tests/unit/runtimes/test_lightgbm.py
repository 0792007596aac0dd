import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.zoo.base import Case
from tests.zoo.lightgbm import CASES
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition
from trivet.core.predictor import Predictor
from trivet.core.signature import Signature, TensorSpec
from trivet.runtimes.base import Artifact
from trivet.runtimes.lightgbm import RUNTIME
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
    check_runtime("lightgbm", models[case.name], case.rows)


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
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'trivet\[lightgbm\]'"):
        RUNTIME.load(Artifact(models[NAMES[0]]))


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
