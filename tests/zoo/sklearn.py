"""scikit-learn: the oracle is the model that joblib, pickle or skops loads, asked as its users ask it."""

import pickle
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris, load_linnerud
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from tests.zoo.base import Case, with_nulls

BREAST_CANCER, IRIS = load_breast_cancer(), load_iris()
NAMES = [str(name) for name in BREAST_CANCER.feature_names]
SPECIES = IRIS.target_names.astype(str)[IRIS.target]


def save(model, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    if suffix == ".skops":
        skops.io.dump(model, path)
    elif suffix == ".pkl":
        path.write_bytes(pickle.dumps(model))
    else:
        joblib.dump(model, path, compress=3 if suffix == ".joblib.gz" else 0)
    return path


def named_table():
    return pd.DataFrame(BREAST_CANCER.data, columns=NAMES)


def boosted(folder):
    model = GradientBoostingClassifier(n_estimators=20, random_state=0)
    return save(model.fit(named_table(), BREAST_CANCER.target), folder, ".joblib")


def logistic(folder):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return save(model.fit(IRIS.data, SPECIES), folder, ".skops")


def forest(folder):
    model = RandomForestClassifier(10, n_jobs=2, random_state=0)
    return save(model.fit(IRIS.data, IRIS.target), folder, ".pkl")


def voting(folder):
    parts = [("a", LogisticRegression(max_iter=5000)), ("b", GradientBoostingClassifier(n_estimators=5))]
    model = VotingClassifier(parts, voting="soft")
    return save(model.fit(named_table(), BREAST_CANCER.target), folder, ".joblib.gz")


def missing(folder):
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    return save(model.fit(BREAST_CANCER.data, BREAST_CANCER.target), folder, ".joblib")


def flowers():
    size = np.where(IRIS.data[:, 0] > 5.8, "large", "small")
    colour = np.where(IRIS.data[:, 3] > 1, "red", "blue")
    columns = zip(size, IRIS.data[:, 1], colour, IRIS.data[:, 2], strict=True)
    return [[str(s), float(w), str(c), float(n)] for s, w, c, n in columns]


COLUMNS = ("size", "width", "colour", "length")


def mixed(folder):
    table = pd.DataFrame(flowers(), columns=COLUMNS)
    encode = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["width", "length"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["size", "colour"]),
        ]
    )
    model = make_pipeline(encode, LogisticRegression()).fit(table, SPECIES)
    return save(model, folder, ".skops")


def numbered(folder):
    encode = ColumnTransformer([("texts", OneHotEncoder(), [0, 2])], remainder="passthrough")
    rows = np.array(flowers(), object)
    return save(make_pipeline(encode, LogisticRegression()).fit(rows, SPECIES), folder, ".joblib")


def targets(folder):
    return save(LinearRegression().fit(*load_linnerud(return_X_y=True)), folder, ".skops")


def margin(folder):
    return save(LinearSVC(random_state=0).fit(IRIS.data, SPECIES), folder, ".skops")


def clusters(folder):
    return save(KMeans(3, n_init=1, random_state=0).fit(IRIS.data), folder, ".skops")


TEXTS = [
    "good taste", "bad smell", "very good", "rather bad", "good good bad", "nothing", "taste and smell",
] * 5  # fmt: skip


def texts(folder):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    return save(model.fit(TEXTS, ["bad" in one for one in TEXTS]), folder, ".skops")


@cache
def loaded(path):
    if path.suffix != ".skops":
        return joblib.load(path)
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def ask(path, rows, output):
    with threadpool_limits(1):
        model = loaded(path)
        return model.predict_proba(rows) if output == "probabilities" else model.predict(rows)


def expect(path, rows, output):
    table = np.array(rows, np.float64)
    if hasattr(loaded(path), "feature_names_in_"):
        table = pd.DataFrame(table, columns=loaded(path).feature_names_in_)
    return ask(path, table, output)


def expect_frame(path, rows, output):
    return ask(path, pd.DataFrame(rows, columns=COLUMNS), output)


def expect_objects(path, rows, output):
    return ask(path, np.array(rows, object), output)


def expect_texts(path, rows, output):
    return ask(path, [row[0] for row in rows], output)


BOTH, LABELS = ("labels", "probabilities"), ("labels",)
CANCER_ROWS, IRIS_ROWS = BREAST_CANCER.data[:40].tolist(), IRIS.data[::4].tolist()
UNSEEN = [["huge", 3.0, "red", 4.0], ["small", None, "blue", None]]
CASES = [
    Case("sklearn-boosted", "sklearn", boosted, CANCER_ROWS, NAMES, expect, BOTH, pickle=True),
    Case("sklearn-logistic", "sklearn", logistic, IRIS_ROWS, (), expect, BOTH),
    Case("sklearn-forest", "sklearn", forest, IRIS_ROWS, (), expect, BOTH, pickle=True),
    Case("sklearn-voting", "sklearn", voting, CANCER_ROWS, NAMES, expect, BOTH, pickle=True),
    Case(
        "sklearn-missing", "sklearn", missing, with_nulls(BREAST_CANCER.data), (), expect, BOTH, pickle=True
    ),
    Case("sklearn-mixed", "sklearn", mixed, [*flowers()[::4], *UNSEEN], COLUMNS, expect_frame, BOTH),
    Case("sklearn-numbered", "sklearn", numbered, flowers()[::4], (), expect_objects, BOTH, pickle=True),
    Case("sklearn-targets", "sklearn", targets, load_linnerud().data.tolist(), (), expect),
    Case("sklearn-margin", "sklearn", margin, IRIS_ROWS, (), expect, LABELS),
    Case("sklearn-clusters", "sklearn", clusters, IRIS_ROWS, (), expect),
    Case("sklearn-texts", "sklearn", texts, [[one] for one in TEXTS], ("text",), expect_texts, BOTH),
]
