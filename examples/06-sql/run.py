"""Import a trained model with SQL, predict for 100,000 rows of a Parquet file, and explain what it says."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_diabetes
from xgboost import XGBRegressor

from trivet import sql
from trivet.core.errors import InvalidArgument

ROWS = 100_000


def prepare() -> None:
    data = load_diabetes(as_frame=True)
    XGBRegressor(n_estimators=50, max_depth=3, n_jobs=1).fit(data.data, data.target).save_model("model.ubj")
    drawn = data.frame.sample(ROWS, replace=True, random_state=0).reset_index(names="patient")
    noise = np.random.default_rng(0).normal(size=(ROWS, 10)) * 0.001
    drawn[data.feature_names] += noise
    drawn.to_parquet("patients.parquet")


def main() -> None:
    prepare()
    with sql.connect() as con:
        con.sql("CREATE SCHEMA clinic")
        made = con.sql(
            "CREATE MODEL clinic.progression OPTIONS(model_type='XGBOOST', model_path='model.ubj')"
        )
        print(made.message)

        started = time.perf_counter()
        con.sql(
            "CREATE TABLE clinic.scored AS SELECT * FROM "
            "ML.PREDICT(MODEL clinic.progression, (SELECT * FROM 'patients.parquet'))"
        )
        print(f"{ROWS:,} rows predicted in {time.perf_counter() - started:.1f} s")

        print("\nWho gets worst?")
        con.sql(
            "SELECT patient, COUNT(*) AS times, ROUND(AVG(predicted_label), 1) AS progression "
            "FROM clinic.scored GROUP BY patient ORDER BY progression DESC LIMIT 3"
        ).show()

        print("\nHow far off is it?")
        con.sql(
            "SELECT ROUND(mean_absolute_error, 1) AS off_by, ROUND(r2_score, 2) AS r2 "
            "FROM ML.EVALUATE(MODEL clinic.progression, (SELECT * FROM 'patients.parquet'), "
            "STRUCT('target' AS input_label_col))"
        ).show()

        print("\nWhy does it say so?")
        con.sql(
            "SELECT feature, ROUND(attribution, 1) AS adds FROM ML.EXPLAIN_PREDICT(MODEL clinic.progression, "
            "(SELECT * FROM 'patients.parquet' LIMIT 1), STRUCT(3 AS top_k_features)) AS p, "
            "UNNEST(p.top_feature_attributions) ORDER BY ABS(adds) DESC"
        ).show()

        try:
            con.sql("SELECT *\nFROM ML.PREDICT(MODEL clinic.progression, (SELECT 1 AS age))")
        except InvalidArgument as error:
            print(f"\nA mistake: {error}")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
        os.chdir(Path(__file__).parent)
