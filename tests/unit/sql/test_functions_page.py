"""The page about the functions of models: its statements run, and it names all functions and options."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from xgboost import XGBClassifier

from trivet.sql import connect, images, model_functions

PAGE = Path(__file__).parents[3] / "docs/reference/sql-functions.md"


def test_every_statement_of_the_page_runs(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"age": random.integers(18, 80, 300), "spend": random.random(300)})
    rows["churned"] = (rows["spend"] + random.random(300) > 1).astype(int)
    (tmp_path / "models/churn").mkdir(parents=True)
    model = XGBClassifier(n_estimators=5, n_jobs=1).fit(rows[["age", "spend"]].astype(float), rows["churned"])
    model.save_model(tmp_path / "models/churn/model.json")
    monkeypatch.chdir(tmp_path)
    with connect(":memory:") as connection:
        connection.sql("CREATE SCHEMA IF NOT EXISTS ds")
        connection.register("given", rows)
        connection.sql("CREATE TABLE ds.customers AS SELECT * FROM given")
        texts = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        found = [connection.sql(text).fetchall() for text in texts]
    assert len(found) == 9
    assert found[-1][0][0]["_field_2"] == [0.5]


@pytest.mark.parametrize("name", sorted({*model_functions.FUNCTIONS, *images.ARITY}))
def test_the_page_names(name):
    assert f"ML.{name}" in PAGE.read_text()
