"""Models as BigQuery reads them: what it knows goes as it is, what it does not is converted, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unimplemented
from trivet.core.names import ModelRef
from trivet.runtimes.base import Permissions
from trivet.serving.lifecycle import ModelSpec, load
from trivet.sql.real import onnx_fit, parity, xgboost_1_5
from trivet.sql.real.imports import Importer
from trivet.sql.real.statement import changed, create_models

IRIS, DIABETES, CANCER = load_iris(), load_diabetes(), load_breast_cancer()
FLOWERS = pd.DataFrame(IRIS.data, columns=["a", "b", "c", "d"])
SICK = pd.DataFrame(DIABETES.data[:, :4], columns=["a", "b", "c", "d"])
STAGING = "gs://staging/models"


class Staged:
    """An importer whose bucket is a folder, and what it has said."""

    def __init__(self, folder: Path, *, pickle: bool = True) -> None:
        self.bucket = folder / "bucket"
        self.bucket.mkdir()
        self.said: list[str] = []
        buckets = {"gs://staging": str(self.bucket)}
        self.importer = Importer(STAGING, buckets, Permissions(pickle=pickle), self.said.append)

    def text(self, text: str) -> str:
        (statement,) = create_models(text)
        return changed(text, self.importer.changes(statement))

    def create(self, type_: str, path: Path, more: str = "") -> tuple[str, Path]:
        """Return the text that is sent, and the local path of what it names."""
        sent = self.text(f"CREATE MODEL ds.m OPTIONS(model_type='{type_}', model_path='{path}'{more})")
        (statement,) = create_models(sent)
        uri = statement.text("model_path")
        assert uri.startswith(f"{STAGING}/")
        return sent, self.bucket / uri.removeprefix("gs://staging/").removesuffix("/*")


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    return Staged(tmp_path)


def dumped(model: Any, folder: Path) -> Path:
    import joblib

    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib"


def ask(file: Path, *columns: Any) -> Any:
    """Return the answers of ONNX Runtime, by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = dict(zip([one.name for one in session.get_inputs()], columns, strict=True))
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def in_columns(data: Any) -> list[Any]:
    return [data[:, [index]].astype(np.float32) for index in range(data.shape[1])]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='gs://bucket/model.onnx')",
        "CREATE MODEL ds.m OPTIONS(model_type='LINEAR_REG') AS SELECT 1 AS label",
        "CREATE MODEL ds.m REMOTE WITH CONNECTION DEFAULT OPTIONS(endpoint='https://x')",
        "CREATE MODEL ds.m OPTIONS(model_type='WHATEVER', model_path='x')",
    ],
)
def test_what_bigquery_can_do_itself_goes_as_it_is(staged: Staged, text: str) -> None:
    assert staged.text(text) == text
    assert staged.said == []


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "multi:softmax"])
def test_xgboost_is_written_as_1_5_has_it(staged: Staged, tmp_path: Path, objective: str) -> None:
    import xgboost

    data, target = (CANCER.data, CANCER.target) if "binary" in objective else (IRIS.data, IRIS.target)
    frame = pd.DataFrame(data).add_prefix("f")
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, objective=objective).fit(frame, target)
    model.save_model(tmp_path / "model.ubj")
    sent, file = staged.create("XGBOOST", tmp_path / "model.ubj")
    assert sent.endswith(f"model_path='{STAGING}/{file.parent.name}/model.json')")
    document = json.loads(file.read_bytes())
    assert document["version"] == [1, 5, 1]
    assert not document["learner"]["learner_model_param"]["base_score"].startswith("[")
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    assert {type(one) for one in tree["default_left"]} == {bool}
    again = xgboost.Booster()
    with pytest.warns(UserWarning, match=r"before XGBoost 1\.6"):
        again.load_model(file)
    rows = xgboost.DMatrix(frame)
    assert np.allclose(again.predict(rows), model.get_booster().predict(rows), rtol=1e-6)
    (line,) = staged.said
    compared = line.removeprefix("ds.m: XGBOOST, written as XGBoost 1.5 has it; over 512 made-up rows, ")
    assert compared.startswith("largest difference ")
    assert compared.endswith(f"; put into {STAGING}/{file.parent.name}")


def test_xgboost_of_1_5_stays_as_it_is(staged: Staged, tmp_path: Path) -> None:
    import xgboost

    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(SICK, DIABETES.target)
    document = json.loads(model.get_booster().save_raw("json"))
    old = json.dumps(xgboost_1_5.lowered(document)).encode()
    (tmp_path / "model.bst").write_bytes(old)
    _, file = staged.create("XGBOOST", tmp_path / "model.bst")
    assert file.read_bytes() == old
    assert "as it is" in staged.said[0]


def test_dart_keeps_its_answers(tmp_path: Path) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, booster="dart", rate_drop=0.5)
    model.fit(FLOWERS, IRIS.target)
    document = xgboost_1_5.lowered(json.loads(model.get_booster().save_raw("json")))
    again = xgboost.Booster()
    with pytest.warns(UserWarning, match=r"before XGBoost 1\.6"):
        again.load_model(bytearray(json.dumps(document).encode()))
    rows = xgboost.DMatrix(FLOWERS)
    assert np.allclose(again.predict(rows), model.get_booster().predict(rows), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "target", "expected"),
    [
        ({"objective": "reg:absoluteerror"}, DIABETES.target, "its objective reg:absoluteerror is newer"),
        ({}, np.column_stack([DIABETES.target] * 2), "it has several targets"),
    ],
)
def test_what_xgboost_1_5_has_not_is_refused(
    staged: Staged, tmp_path: Path, settings: Any, target: Any, expected: str
) -> None:
    from xgboost import XGBRegressor

    XGBRegressor(n_estimators=2, n_jobs=1, **settings).fit(SICK, target).save_model(tmp_path / "m.json")
    with pytest.raises(FailedPrecondition, match=rf"model ds\.m: {expected}.* at \[1:"):
        staged.create("XGBOOST", tmp_path / "m.json")


def test_features_without_names_need_an_input_clause(staged: Staged, tmp_path: Path) -> None:
    from xgboost import XGBRegressor

    file = tmp_path / "m.json"
    XGBRegressor(n_estimators=2, n_jobs=1).fit(DIABETES.data[:, :2], DIABETES.target).save_model(file)
    with pytest.raises(InvalidArgument, match=r"name its inputs and its output, as in INPUT\(f0 FLOAT64"):
        staged.create("XGBOOST", file)
    text = "CREATE MODEL ds.m INPUT(x FLOAT64, y FLOAT64) OUTPUT(z FLOAT64) "
    assert "gs://staging" in staged.text(f"{text}OPTIONS(model_type='XGBOOST', model_path='{file}')")


def trained_onnx(folder: Path, *, zipmap: bool, opset: int = 17) -> Path:
    from skl2onnx import to_onnx

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, IRIS.target)
    options = {id(model): {"zipmap": zipmap}}
    made = to_onnx(
        model, IRIS.data[:1].astype(np.float32), target_opset={"": opset, "ai.onnx.ml": 3}, options=options
    )
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder / "model.onnx"


def test_onnx_that_fits_stays_as_it_is(staged: Staged, tmp_path: Path) -> None:
    file = trained_onnx(tmp_path, zipmap=False)
    sent, there = staged.create("ONNX", file)
    assert there.read_bytes() == file.read_bytes()
    assert sent.endswith("/model.onnx')")


def test_a_zipmap_is_taken_out(staged: Staged, tmp_path: Path) -> None:
    file = trained_onnx(tmp_path, zipmap=True)
    _, there = staged.create("ONNX", tmp_path)
    assert "ZipMap taken out" in staged.said[0]
    rows = IRIS.data[::9].astype(np.float32)
    label, scores = ask(there, rows).values()
    names = list(ask(there, rows))
    before = ask(file, rows)
    assert names == list(before)
    assert label.tolist() == before[names[0]].tolist()
    assert scores.tolist() == [list(one.values()) for one in before[names[1]]]


def test_newer_operators_are_written_as_older_ones(staged: Staged, tmp_path: Path) -> None:
    file = trained_onnx(tmp_path, zipmap=False, opset=21)
    assert onnx_fit.versions(file.read_bytes())[1][""] == 21
    _, there = staged.create("ONNX", file)
    ir, opsets = onnx_fit.versions(there.read_bytes())
    assert (ir <= 8, opsets[""]) == (True, 17)
    rows = IRIS.data[::9].astype(np.float32)
    for name, answer in ask(there, rows).items():
        assert np.allclose(answer, ask(file, rows)[name])


def test_operators_that_cannot_be_written_are_refused(staged: Staged, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    made = helper.make_node("Scatter", ["x", "i", "x"], ["y"], domain="com.microsoft")
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
    graph = helper.make_graph([made], "g", kinds[:1], kinds[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    with pytest.raises(FailedPrecondition, match=r"operators of com\.microsoft"):
        staged.create("ONNX", tmp_path / "m.onnx")


@pytest.mark.parametrize("output", ["", "labels", "probabilities"])
def test_scikit_learn_becomes_onnx_with_the_same_columns(staged: Staged, tmp_path: Path, output: str) -> None:
    names = IRIS.target_names[IRIS.target]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FLOWERS, names)
    more = f", output='{output}'" if output else ""
    sent, file = staged.create("SKLEARN", dumped(model, tmp_path), more)
    assert "model_type='ONNX'" in sent
    assert "output" not in sent
    assert any("made-up rows" in line for line in staged.said)
    answers = ask(file, *in_columns(IRIS.data))
    if output == "probabilities":
        assert np.allclose(answers["scores"], model.predict_proba(FLOWERS), atol=1e-5)
    else:
        assert answers["predicted_class"].tolist() == model.predict(FLOWERS).tolist()
    ir, opsets = onnx_fit.versions(file.read_bytes())
    assert ir <= 8
    assert opsets[""] <= 17
    assert opsets.get("ai.onnx.ml", 1) <= 3


def test_it_answers_in_trivet_as_the_original(staged: Staged, tmp_path: Path) -> None:
    model = LinearRegression().fit(SICK, DIABETES.target)
    _, file = staged.create("SKLEARN", dumped(model, tmp_path))
    original, made = (
        load(ModelSpec(ModelRef("m"), path), Permissions(pickle=True))
        for path in (tmp_path / "model.joblib", file)
    )
    assert [one.name for one in made.info.signature.inputs] == list(original.info.signature.features)
    assert [one.name for one in made.info.signature.outputs] == ["prediction"]
    assert made.info.signature.outputs[0].shape == ()


def test_columns_of_text_stay_columns(staged: Staged, tmp_path: Path) -> None:
    frame = pd.DataFrame({"colour": ["red", "green"] * 20, "size": np.arange(40.0)})
    columns = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["colour"]), ("s", StandardScaler(), ["size"])]
    )
    model = make_pipeline(columns, LinearRegression()).fit(frame, frame["size"] + (frame["colour"] == "red"))
    _, file = staged.create("SKLEARN", dumped(model, tmp_path))
    answers = ask(file, frame[["colour"]].to_numpy(), frame[["size"]].to_numpy(np.float32))
    assert np.allclose(answers["prediction"], model.predict(frame), atol=1e-3)


def test_catboost_becomes_onnx(staged: Staged, tmp_path: Path) -> None:
    from catboost import CatBoostClassifier, CatBoostRegressor

    options = {"iterations": 5, "verbose": False, "thread_count": 1, "allow_writing_files": False}
    model = CatBoostRegressor(**options).fit(SICK, DIABETES.target)
    model.save_model(str(tmp_path / "m.cbm"))
    _, file = staged.create("CATBOOST", tmp_path / "m.cbm")
    answers = ask(file, *in_columns(SICK.to_numpy()))
    assert np.allclose(answers["prediction"], model.predict(SICK), rtol=1e-4)
    CatBoostClassifier(**options).fit(FLOWERS, IRIS.target).save_model(str(tmp_path / "c.cbm"))
    _, file = staged.create("CATBOOST", tmp_path / "c.cbm", ", output='probabilities'")
    assert list(ask(file, *in_columns(IRIS.data))) == ["scores"]


def test_lightgbm_becomes_onnx(staged: Staged, tmp_path: Path) -> None:
    pytest.importorskip("onnxmltools")
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(SICK, DIABETES.target)
    model.booster_.save_model(tmp_path / "m.txt")
    _, file = staged.create("LIGHTGBM", tmp_path / "m.txt")
    answers = ask(file, *in_columns(SICK.to_numpy()))
    assert np.allclose(answers["prediction"], model.predict(SICK), rtol=1e-3)
    found = LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(FLOWERS, IRIS.target)
    found.booster_.save_model(tmp_path / "c.txt")
    _, file = staged.create("LIGHTGBM", tmp_path / "c.txt")
    told = ask(file, *in_columns(IRIS.data))["predicted_class"]
    assert np.mean(told == found.predict(FLOWERS)) > 0.99


def test_what_is_missing_says_how_to_install_it(staged: Staged, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    file = dumped(LinearRegression().fit(SICK, DIABETES.target), tmp_path)
    with pytest.raises(FailedPrecondition, match="not installed: pip install skl2onnx onnx"):
        staged.create("SKLEARN", file)


def test_pickles_need_permission(tmp_path: Path) -> None:
    file = dumped(RandomForestClassifier(3).fit(FLOWERS, IRIS.target), tmp_path)
    with pytest.raises(PermissionDenied, match="is a pickle"):
        Staged(tmp_path, pickle=False).create("SKLEARN", file)


def test_a_model_that_answers_otherwise_is_not_sent() -> None:
    numbers, labels = np.linspace(1, 2, 200), np.array(["a", "b"] * 100)
    told = parity.told({"y": numbers, "c": labels}, {"y": numbers * (1 + 1e-6), "c": labels})
    assert told == "over 200 made-up rows, 100.0% of the labels are the same, largest difference 1e-06"
    with pytest.raises(FailedPrecondition, match=r"it answers otherwise then: .*, largest difference 0.01"):
        parity.told({"y": numbers}, {"y": numbers * 1.01})
    with pytest.raises(FailedPrecondition, match=r"50\.0% of the labels are the same; it is not sent"):
        parity.told({"c": labels}, {"c": np.full(200, "a")})


def test_a_saved_model_goes_with_all_its_files(staged: Staged, tmp_path: Path) -> None:
    (tmp_path / "ae" / "variables").mkdir(parents=True)
    (tmp_path / "ae" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "ae" / "variables" / "variables.index").write_bytes(b"index")
    sent, folder = staged.create("TENSORFLOW", tmp_path / "ae" / "*")
    assert sent.endswith("/*')")
    files = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
    assert files == {"saved_model.pb", "variables/variables.index"}
    before = [one.stat().st_mtime_ns for one in sorted(folder.rglob("*"))]
    assert staged.create("TENSORFLOW", tmp_path / "ae")[1] == folder
    assert [one.stat().st_mtime_ns for one in sorted(folder.rglob("*"))] == before


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ("model='fraud@champion'", InvalidArgument, r"not known to BigQuery: .* at \[1:27\]"),
        (
            "model_type='PYTORCH', model_path='x'",
            Unimplemented,
            r"torch\.onnx\.export\(\.\., opset_version=17\)",
        ),
        ("model_type='ONNX', model_path='no/such/file'", InvalidArgument, "there is no such file"),
        ("model_type='TENSORFLOW', model_path='/tmp'", InvalidArgument, r"with saved_model\.pb"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(
    staged: Staged, options: str, error: type, expected: str
) -> None:
    with pytest.raises(error, match=expected):
        staged.text(f"CREATE MODEL ds.m OPTIONS({options})")


def test_without_a_bucket_it_is_told_how_to_name_one(tmp_path: Path) -> None:
    (statement,) = create_models("CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='m.onnx')")
    importer = Importer("", None, Permissions(), print)
    with pytest.raises(InvalidArgument, match="--staging gs://BUCKET/PREFIX"):
        importer.changes(statement)


def test_options_of_ours_are_left_out(staged: Staged) -> None:
    text = "CREATE MODEL ds.m OPTIONS(model_type='ONNX', scalar_outputs=TRUE, model_path='gs://b/m.onnx')"
    assert staged.text(text) == text.replace("scalar_outputs=TRUE,", "")
    assert staged.said == ["ds.m: OPTIONS(scalar_outputs) left out: BigQuery does not have it"]
