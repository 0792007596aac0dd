"""The page about ML.PREDICT: its statements run."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost

from trivet.sql import connect

PAGE = Path(__file__).parents[3] / "docs/reference/sql-predict.md"


def test_every_statement_of_the_page_runs(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    houses = pd.DataFrame({"id": range(60), "city": ["a", "b"] * 30, "rooms": random.integers(1, 6, 60)})
    houses["area"] = houses["rooms"] * 20.0
    data = xgboost.DMatrix(houses[["rooms", "area"]].astype(float), houses["area"])
    xgboost.train({"nthread": 1}, data, 3).save_model(tmp_path / "prices.json")
    monkeypatch.chdir(tmp_path)
    with connect(":memory:") as connection:
        connection.sql("CREATE SCHEMA IF NOT EXISTS ds")
        connection.register("given", houses)
        connection.sql("CREATE TABLE ds.houses AS SELECT * FROM given")
        connection.sql("CREATE MODEL ds.prices OPTIONS(model_type = 'XGBOOST', model_path = 'prices.json')")
        texts = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        found = [connection.sql(text).fetchall() for text in texts]
    assert [len(rows) for rows in found] == [60, 2, 60]
