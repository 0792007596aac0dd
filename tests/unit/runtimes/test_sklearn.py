import bz2
import gzip
import io
import json
import logging
import lzma
import pickle
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier

from tests.zoo.sklearn import CASES
from trivet.codecs.json_rows import RowDecoder
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.signature import Signature, TensorSpec
from trivet.runtimes.base import Artifact, Permissions
from trivet.runtimes.sklearn import RUNTIME

PICKLES = Permissions(pickle=True)
X, Y = load_iris(return_X_y=True)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)
MANY, ONE = 12, 1


def load(folder, model, declared=None):
    path = folder / "model"
    joblib.dump(model, path)
    return RUNTIME.load(Artifact(path, declared, PICKLES))


def ask(predictor, rows, output=None):
    instances = RowDecoder(predictor.signature).decode(rows)
    [column] = predictor.predict(instances, {"output": output} if output else {}).columns.values()
    return column


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_row_and_many_are_answered_bit_for_bit_as_the_library_does(case, zoo):
    predictor = RUNTIME.load(Artifact(zoo(case), None, Permissions(pickle=case.pickle)))
    for output in case.outputs:
        for rows in (case.rows, case.rows[:1]):
            expected = np.asarray(case.expect(zoo(case), rows, output))
            answer = ask(predictor, rows, None if output == "values" else output)
            assert answer.dtype == expected.dtype
            assert np.array_equal(answer, expected)


class TestRecognition:
    @pytest.mark.parametrize(
        "squeeze",
        [
            bytes,
            zlib.compress,
            gzip.compress,
            bz2.compress,
            lzma.compress,
            lambda b: lzma.compress(b, lzma.FORMAT_ALONE),
        ],
    )
    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
    def test_a_pickle_however_compressed(self, tmp_path, protocol, squeeze):
        file = tmp_path / "model.dat"
        file.write_bytes(squeeze(pickle.dumps(LinearRegression().fit(X, Y), protocol)))
        assert RUNTIME.recognises(file)
        assert ask(RUNTIME.load(Artifact(file, None, PICKLES)), X[:2].tolist()).shape == (2,)

    @pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
    def test_what_joblib_writes(self, tmp_path, compress):
        file = tmp_path / "model.dat"
        joblib.dump(RandomForestClassifier(5).fit(X, Y), file, compress=compress)
        assert RUNTIME.recognises(file)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x80",
            b"\x80\x05",
            b"\x80\x09abc",
            b"\x89PNG\r\n\x1a\n",
            b"\x93NUMPY\x01\x00",
            b"CBM1\x00",
            b"class A:\n  pass\n",
            gzip.compress(b"a,b\n1,2\n"),
            zlib.compress(b"text"),
            bz2.compress(b"text"),
            lzma.compress(b"text"),
            b"\x1f\x8b garbage",
            b"BZh garbage",
            b"\x5d\x00\x00\x00\xf0" + b"\xff" * 20,
        ],
    )
    def test_nothing_else(self, tmp_path, content):
        file = tmp_path / "model.pkl"
        file.write_bytes(content)
        assert not RUNTIME.recognises(file)
        assert not RUNTIME.recognises(tmp_path)
        assert not RUNTIME.recognises(tmp_path / "missing")

    @pytest.mark.parametrize("names", [["a.txt"], ["schema.json"]])
    def test_no_other_zip(self, tmp_path, names):
        file = tmp_path / "model.skops"
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, '{"title": "something else"}')
        assert not RUNTIME.recognises(file)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestPickles:
    @pytest.mark.parametrize("squeeze", [bytes, zlib.compress, bz2.compress])
    def test_one_is_refused_without_permission_and_its_code_does_not_run(self, tmp_path, squeeze):
        file, trace = tmp_path / "model.joblib", tmp_path / "trace"
        file.write_bytes(squeeze(pickle.dumps(Trap(trace))))
        assert RUNTIME.recognises(file)
        with pytest.raises(PermissionDenied, match=r"model.joblib is a pickle: .* --allow-pickle"):
            RUNTIME.load(Artifact(file))
        assert not trace.exists()
        with pytest.raises(FailedPrecondition, match="has no predict method"):
            RUNTIME.load(Artifact(file, None, PICKLES))
        assert trace.exists()

    def test_one_in_the_disguise_of_a_skops_file_is_refused_too(self, tmp_path):
        file, trace = tmp_path / "model.skops", tmp_path / "trace"
        file.write_bytes(pickle.dumps(Trap(trace)))
        with pytest.raises(PermissionDenied, match="--allow-pickle"):
            RUNTIME.load(Artifact(file))
        assert not trace.exists()

    @pytest.mark.parametrize("size", [0, 1, 3, 40, 400, -30])
    @pytest.mark.parametrize("squeeze", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
    def test_one_that_is_cut_off(self, tmp_path, squeeze, size):
        file = tmp_path / "model"
        file.write_bytes(squeeze(pickle.dumps(LinearRegression().fit(X, Y)))[:size])
        with pytest.raises(FailedPrecondition, match="model cannot be read as a scikit-learn model"):
            RUNTIME.load(Artifact(file, None, PICKLES))

    def test_a_module_that_is_not_installed_is_named(self, tmp_path):
        file = tmp_path / "model"
        file.write_bytes(b"cno_such_module\nThing\n.")
        assert RUNTIME.recognises(file)
        with pytest.raises(FailedPrecondition, match="needs the Python module no_such_module, which is not"):
            RUNTIME.load(Artifact(file, None, PICKLES))

    @pytest.mark.parametrize("model", [StandardScaler().fit(X), 7, {"predict": 1}])
    def test_what_does_not_predict_is_refused(self, tmp_path, model):
        with pytest.raises(FailedPrecondition, match=f"holds a {type(model).__name__}, which has no predict"):
            load(tmp_path, model)

    def test_another_version_is_one_line_of_the_log(self, tmp_path, caplog):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y)
        content = pickle.dumps(model)
        import sklearn

        version = sklearn.__version__.encode()
        content = content.replace(version, b"0" * len(version))
        file = tmp_path / "model"
        file.write_bytes(content)
        with caplog.at_level(logging.WARNING, "trivet"):
            RUNTIME.load(Artifact(file, None, PICKLES))
        [record] = caplog.records
        assert "saved by scikit-learn 00000; " + sklearn.__version__ in record.getMessage()

    def test_a_missing_library_is_named_with_the_command_that_installs_it(self, monkeypatch, tmp_path):
        joblib.dump(LinearRegression().fit(X, Y), tmp_path / "model")
        monkeypatch.setitem(sys.modules, "sklearn", None)
        with pytest.raises(FailedPrecondition, match=r"sklearn.*pip install 'trivet\[sklearn\]'"):
            RUNTIME.load(Artifact(tmp_path / "model", None, PICKLES))


class TestSkops:
    def test_types_nobody_trusts_are_named(self, tmp_path):
        file = tmp_path / "model"
        skops.io.dump(RandomForestClassifier(2).fit(X, Y), file)
        with pytest.raises(PermissionDenied, match=r"sklearn.tree._tree.Tree\. .*--trust-type"):
            RUNTIME.load(Artifact(file, None, PICKLES))
        trusted = Permissions(trusted_types=("sklearn.tree._tree.Tree",))
        assert RUNTIME.load(Artifact(file, None, trusted)).signature.classes == (0, 1, 2)

    def test_a_pickle_inside_is_never_loaded(self, tmp_path):
        file, trace = tmp_path / "model", tmp_path / "trace"
        skops.io.dump(LinearRegression().fit(X, Y), file)
        with zipfile.ZipFile(file) as archive:
            schema = archive.read("schema.json")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("schema.json", schema.replace(b"sklearn.linear_model", b"joblib.no_such_place"))
            archive.writestr("model.pkl", pickle.dumps(Trap(trace)))
        with pytest.raises((FailedPrecondition, PermissionDenied)):
            RUNTIME.load(Artifact(file, None, PICKLES))
        assert not trace.exists()

    def test_one_that_is_damaged(self, tmp_path):
        file = tmp_path / "model"
        skops.io.dump(LinearRegression().fit(X, Y), file)
        content = file.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            schema = archive.read("schema.json")
        for broken in (
            schema[: len(schema) // 2],
            b'{"__class__": 1}',
            b'{"__class__": "x", "__loader__": "?"}',
        ):
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("schema.json", broken)
            assert RUNTIME.recognises(file)
            with pytest.raises(FailedPrecondition, match="model cannot be read as a skops model"):
                RUNTIME.load(Artifact(file))


class TestNumbers:
    def test_names_come_from_the_data_frame_and_nothing_warns(self, tmp_path):
        for model in (
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
            LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1),
            XGBClassifier(n_estimators=3, n_jobs=1),
        ):
            model.fit(FRAME, Y)
            predictor = load(tmp_path, model)
            assert predictor.signature.names == tuple(NAMES)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                scores = ask(predictor, X[:MANY].tolist(), "probabilities")
            assert np.array_equal(scores, model.predict_proba(FRAME[:MANY]))

    def test_models_that_make_data_frames_inside(self, tmp_path):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).set_output(
            transform="pandas"
        )
        for data in (FRAME, X):
            predictor = load(tmp_path, model.fit(data, Y))
            expected = model.predict_proba(data[:MANY])
            assert np.array_equal(ask(predictor, X[:MANY].tolist(), "probabilities"), expected)

    def test_a_column_transformer_with_names_gets_a_data_frame(self, tmp_path):
        encode = ColumnTransformer([("x", StandardScaler(), ["c", "a"])], remainder="passthrough")
        model = GridSearchCV(make_pipeline(encode, LogisticRegression(max_iter=500)), {}, cv=2).fit(FRAME, Y)
        predictor = load(tmp_path, model)
        expected = model.predict_proba(FRAME[:MANY])
        assert np.array_equal(ask(predictor, X[:MANY].tolist(), "probabilities"), expected)

    @pytest.mark.parametrize(
        ("model", "nullable"),
        [
            (HistGradientBoostingClassifier(max_iter=2), True),
            (LogisticRegression(max_iter=500), False),
            (make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)), True),
            (make_pipeline(StandardScaler(), SimpleImputer(), LogisticRegression(max_iter=500)), True),
            (make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), False),
            (GridSearchCV(HistGradientBoostingClassifier(max_iter=2), {}, cv=2), True),
            (XGBClassifier(n_estimators=2, n_jobs=1), True),
        ],
    )
    def test_null_is_taken_where_every_part_up_to_an_imputer_takes_it(self, tmp_path, model, nullable):
        predictor = load(tmp_path, model.fit(X, Y))
        assert predictor.signature.inputs[0].nullable is nullable
        if nullable:
            holed = X[:2].copy()
            holed[0, 1] = np.nan
            rows = [[None if v != v else v for v in row] for row in holed.tolist()]  # noqa: PLR0124
            assert np.array_equal(ask(predictor, rows, "probabilities"), model.predict_proba(holed))

    def test_a_model_that_does_not_say_how_many(self, tmp_path):
        predictor = load(tmp_path, Total())
        assert predictor.signature.inputs[0].shape == (None,)
        assert ask(predictor, [[1, 2, 3]]).tolist() == [6]

    def test_every_part_works_on_one_job(self, tmp_path):
        model = make_pipeline(
            ColumnTransformer([("a", FunctionTransformer(), [0])], n_jobs=2),
            GridSearchCV(RandomForestClassifier(2, n_jobs=2), {}, n_jobs=2, cv=2),
        ).fit(X, Y)
        predictor = load(tmp_path, model)
        steps = predictor._model.named_steps
        search = steps["gridsearchcv"]
        parts = (steps["columntransformer"], search, search.best_estimator_)
        assert [part.n_jobs for part in parts] == [1, 1, 1]

    def test_so_do_the_parts_that_calibration_hides(self, tmp_path):
        forest = RandomForestClassifier(2, n_jobs=2)
        model = load(tmp_path, CalibratedClassifierCV(forest, cv=2).fit(X, Y))._model
        assert [one.estimator.n_jobs for one in model.calibrated_classifiers_] == [1, 1]

    def test_so_does_xgboost_which_keeps_what_it_was_trained_with(self, tmp_path):
        search = GridSearchCV(XGBClassifier(n_estimators=2, n_jobs=2), {}, cv=2).fit(X, Y)
        booster = load(tmp_path, search)._model.best_estimator_.get_booster()
        assert json.loads(booster.save_config())["learner"]["generic_param"]["nthread"] == "1"

    def test_values_the_library_refuses_are_the_callers_fault(self, tmp_path):
        predictor = load(tmp_path, RandomForestClassifier(2).fit(X, Y))
        with pytest.raises(
            InvalidArgument, match=r"scikit-learn refuses these values: .*too large for dtype"
        ):
            ask(predictor, [[1e300, 1, 1, 1]], "labels")


class TestColumns:
    def table(self):
        return pd.DataFrame(
            {
                "size": ["large", "small", None, "small"] * 10,
                "code": [3, 1, 2, 1] * 10,
                "weight": [1.5, np.nan, 2.5, 3.5] * 10,
                "note": ["good thing", "bad thing", "bad", "so good"] * 10,
            }
        )

    def model(self, **encoder):
        return make_pipeline(
            ColumnTransformer(
                [
                    ("codes", OneHotEncoder(**encoder), ["size"]),
                    ("order", OrdinalEncoder(), ["code"]),
                    ("number", SimpleImputer(), ["weight"]),
                    ("text", CountVectorizer(), "note"),
                ]
            ),
            LogisticRegression(),
        ).fit(self.table(), [0, 1, 1, 0] * 10)

    def rows(self):
        return self.table().astype(object).where(self.table().notna(), None).to_numpy().tolist()

    @pytest.mark.parametrize("searched", [False, True])
    def test_types_are_those_of_the_encoders(self, tmp_path, searched):
        model = self.model()
        if searched:
            model = GridSearchCV(model, {}, cv=2).fit(self.table(), [0, 1, 1, 0] * 10)
        predictor = load(tmp_path, model)
        assert [(s.name, s.describe()) for s in predictor.signature.inputs] == [
            ("size", "string or null"),
            ("code", "int64"),
            ("weight", "float64 or null"),
            ("note", "string"),
        ]
        for count in (MANY, ONE):
            expected = model.predict_proba(self.table()[:count])
            assert np.array_equal(ask(predictor, self.rows()[:count], "probabilities"), expected)
        [alone] = ask(predictor, self.rows()[2:3], "probabilities")  # the only text is null
        assert np.array_equal(alone, model.predict_proba(self.table())[2])

    def test_an_unseen_category_is_the_callers_fault(self, tmp_path):
        predictor = load(tmp_path, self.model())
        with pytest.raises(InvalidArgument, match="unknown categories"):
            ask(predictor, [["huge", 1, 1.0, "good"]], "labels")
        lenient = load(tmp_path, self.model(handle_unknown="ignore"))
        assert ask(lenient, [["huge", 1, 1.0, "good"]], "labels").shape == (1,)

    def test_a_model_fitted_on_none_keeps_it(self, tmp_path):
        table = np.array([["a", 1.0], [None, 2.0], ["b", 3.0], [None, 4.0]], object)
        encode = ColumnTransformer([("x", OneHotEncoder(), [0])], remainder="passthrough")
        model = make_pipeline(encode, LinearRegression()).fit(table, [1, 2, 3, 5])
        predictor = load(tmp_path, model)
        assert predictor.signature.names == ("x0", "x1")
        assert np.array_equal(ask(predictor, table.tolist()), model.predict(table))

    def test_categories_of_histogram_boosting(self, tmp_path):
        table = FRAME.assign(size=pd.Categorical(np.where(X[:, 0] > 5.8, "large", "small")))
        model = HistGradientBoostingClassifier(max_iter=3).fit(table, Y)
        predictor = load(tmp_path, model)
        assert predictor.signature.inputs[4].describe() == "string or null"
        rows = table.astype(object).to_numpy().tolist()[::10]
        assert np.array_equal(ask(predictor, rows, "probabilities"), model.predict_proba(table[::10]))

    def test_what_cannot_be_seen_is_declared(self, tmp_path):
        model = make_pipeline(FunctionTransformer(lengths), LinearRegression())
        model.fit(pd.DataFrame({"word": ["a", "bb", "ccc"]}), [1, 2, 3])
        declared = Signature((TensorSpec("word", "string"),))
        predictor = load(tmp_path, model, declared)
        assert predictor.signature.inputs == declared.inputs
        assert ask(predictor, [["four"]]) == pytest.approx([4.0])

    def test_texts_under_the_name_that_is_declared(self, tmp_path):
        model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good", "bad"], [1, 0])
        declared = Signature((TensorSpec("review", "string"),))
        assert load(tmp_path, model, declared).signature.names == ("review",)
        assert ask(load(tmp_path, model), ["so good", "so bad"], "labels").tolist() == [1, 0]


class Total:
    """Predicts, and has nothing else of scikit-learn."""

    def predict(self, x):
        return x.sum(axis=1)


def lengths(table):
    return table["word"].str.len().to_frame()


class TestAnswers:
    def test_several_labels_at_once_are_plain_values(self, tmp_path):
        both = np.column_stack([Y, Y == 1])
        many = MLPClassifier((3,), max_iter=5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            many.fit(X, np.column_stack([Y == 0, Y == 1]))
        for model in (MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, both), many):
            predictor = load(tmp_path, model)
            assert predictor.signature.parameters == ()
            assert predictor.signature.outputs[0].shape == (2,)
            assert np.array_equal(ask(predictor, X[:5].tolist()), model.predict(X[:5]))

    def test_outliers_have_no_classes(self, tmp_path):
        predictor = load(tmp_path, IsolationForest(n_estimators=5, random_state=0).fit(X))
        assert predictor.signature.parameters == ()
        assert set(ask(predictor, X.tolist())) <= {-1, 1}

    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [(Y, "int64"), (Y > 0, "bool"), (Y.astype(float), "float64"), (Y.astype(str), "string")],
    )
    def test_labels_keep_their_type(self, tmp_path, labels, dtype):
        model = RandomForestClassifier(3, random_state=0).fit(X, labels)
        predictor = load(tmp_path, model)
        assert predictor.signature.outputs[2].dtype == dtype
        assert ask(predictor, X[:5].tolist(), "labels").tolist() == model.predict(X[:5]).tolist()

    @pytest.mark.parametrize("labels", [Y, Y.astype(str), Y > 0])
    @pytest.mark.parametrize("table", [X, FRAME])
    def test_catboost_which_gives_a_column_of_labels(self, tmp_path, labels, table):
        model = CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False, thread_count=1)
        predictor = load(tmp_path, model.fit(table, labels))
        model = joblib.load(tmp_path / "model")  # whose labels may be of another type than before
        assert ask(predictor, X.tolist(), "labels").tolist() == model.predict(X).reshape(-1).tolist()
        assert np.array_equal(ask(predictor, X.tolist(), "probabilities"), model.predict_proba(X))

    def test_scores_keep_the_precision_of_the_library(self, tmp_path):
        x, y = load_breast_cancer(return_X_y=True)
        predictor = load(tmp_path, XGBClassifier(n_estimators=3, n_jobs=1).fit(x, y))
        assert predictor.signature.outputs[1].dtype == "float32"
        assert ask(predictor, x[:3].tolist(), "probabilities").dtype == np.float32
