"""The recorded case: an autoencoder in three parts, imported by SQL and asked about card payments."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests import saved_models
from trivet import sql
from trivet.sql.types import FLOAT64, array

COLUMNS = ["Time", *[f"V{index}" for index in range(1, 29)], "Amount"]
DATASET = "`local.fraud.mlops-serving-bigquery-tensorflow-{}_model`"


@pytest.fixture(scope="module")
def parts(saved_model):
    return saved_model(saved_models.autoencoder)


@pytest.fixture(scope="module")
def payments():
    """Rows as the data set has them, float64."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(5000, 30)) * 4
    rows[:, 0], rows[:, 29] = rng.uniform(0, 172_792, 5000), rng.exponential(88, 5000)
    return rows


@pytest.fixture(scope="module")
def connection(parts, payments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("payments")
    table = pa.table({name: payments[:, index] for index, name in enumerate(COLUMNS)})
    parquet.write_table(
        table.append_column("class", pa.array([int(index % 50 == 0) for index in range(len(payments))])),
        folder / "payments.parquet",
    )
    with sql.connect(data=folder / "data") as connection:
        connection.sql("CREATE SCHEMA fraud")
        names = ", ".join(COLUMNS)
        connection.sql(
            f"CREATE OR REPLACE TABLE fraud.t AS SELECT t.*, ARRAY[{names}] AS features_array "
            f"FROM '{folder}/payments.parquet' AS t"
        )
        for part in ("embedding", "stacked", "final"):
            connection.sql(
                f"CREATE OR REPLACE MODEL {DATASET.format(part)} "
                f"OPTIONS(MODEL_TYPE = 'TENSORFLOW', MODEL_PATH = '{parts}/{part}/*')"
            )
        yield connection


@pytest.mark.parametrize(
    ("part", "outputs"),
    [
        ("embedding", ["output_0"]),
        ("stacked", ["output_0"]),
        ("final", sorted([*saved_models.FINAL, "encoded"])),
    ],
)
def test_a_part_answers_as_tensorflow_does(connection, parts, payments, part, outputs):
    result = connection.sql(
        f"SELECT * FROM ML.PREDICT(MODEL {DATASET.format(part)}, "
        "(SELECT features_array AS input_layer FROM fraud.t))"
    )
    fields = {field.name: field.type for field in result.fields}
    assert list(fields) == [*outputs, "input_layer"]
    flat = {name for name in outputs if name.rsplit("_", 1)[-1] in ("MAE", "MSE", "RMSE", "MSLE")}
    assert all(type_ == (FLOAT64 if name in flat else array(FLOAT64)) for name, type_ in fields.items())

    found = result.arrow()
    asked = np.array(found.column("input_layer").to_pylist())
    expected = saved_models.answers(parts / part, {"input_layer": asked.astype(np.float32)})
    assert sorted(expected) == outputs
    assert len(asked) == len(payments)
    for name, values in expected.items():
        np.testing.assert_allclose(
            np.array(found.column(name).to_pylist()), values, rtol=1e-5, atol=1e-5 * np.abs(values).max()
        )


def test_frauds_far_from_their_reconstruction_come_first(connection):
    rows = connection.sql(
        f"SELECT t.class, p.denormalized_MAE FROM ML.PREDICT(MODEL {DATASET.format('final')}, "
        "(SELECT class, features_array AS input_layer FROM fraud.t WHERE class = 1)) p "
        "JOIN (SELECT DISTINCT class FROM fraud.t) t USING (class) ORDER BY 2 DESC LIMIT 10"
    ).fetchall()
    assert [row[0] for row in rows] == [1] * 10
    errors = [row[1] for row in rows]
    assert errors == sorted(errors, reverse=True)


def test_a_column_of_another_name_is_not_taken(connection):
    with pytest.raises(Exception, match="Column input_layer is not found in the input data to the PREDICT"):
        connection.sql(
            f"SELECT * FROM ML.PREDICT(MODEL {DATASET.format('final')}, (SELECT features_array FROM fraud.t))"
        )
