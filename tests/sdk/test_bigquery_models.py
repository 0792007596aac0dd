"""Models by google-cloud-bigquery: made and asked by SQL, and seen as resources."""

import datetime

import httpx
import pytest
from google.api_core import exceptions
from google.cloud.bigquery import ExtractJobConfig, Model, QueryJobConfig, SchemaField, Table

from tests.sdk.tables import BUCKET


@pytest.fixture(scope="module")
def folder(tables):
    """A folder of the bucket with a model of two named features."""
    import numpy as np
    import xgboost

    made = tables.folder / "xgb"
    made.mkdir()
    rows = np.random.default_rng(1).random((200, 2), dtype=np.float32)
    data = xgboost.DMatrix(
        rows, 3 * rows[:, 0] - rows[:, 1], feature_names=["a", "b"], feature_types=["float", "float"]
    )
    booster = xgboost.train({"max_depth": 3}, data, 20)
    booster.save_model(made / "model.json")
    return made


@pytest.fixture
def model(bigquery, dataset, folder):
    """Return the model as SQL has made it."""
    job = bigquery.query(
        f"CREATE MODEL m OPTIONS(model_type='XGBOOST', model_path='gs://{BUCKET}/{folder.name}/*')"
    )
    assert list(job.result(retry=None)) == []
    assert job.statement_type == "CREATE_MODEL"
    return bigquery.get_model("ds.m")


def test_a_model_is_a_resource(bigquery, model):
    assert (model.model_id, model.model_type) == ("m", "XGBOOST")
    assert [(one.name, one.type.type_kind) for one in model.feature_columns] == [
        ("a", "FLOAT64"),
        ("b", "FLOAT64"),
    ]
    assert [one.name for one in model.label_columns] == ["predicted_label"]
    assert model.created <= model.modified <= datetime.datetime.now(datetime.UTC)
    assert [one.model_id for one in bigquery.list_models("ds")] == ["m"]
    with pytest.raises(exceptions.Conflict, match=f"Already Exists: Model {bigquery.project}:ds.m"):
        bigquery.query("CREATE MODEL m OPTIONS(model_type='XGBOOST', model_path='gs://files/xgb/*')").result()


def test_a_model_predicts(bigquery, model):
    bigquery.query(
        "CREATE TABLE t AS SELECT 1 AS id, 0.5 AS a, 0.25 AS B UNION ALL SELECT 2, 0.1, 0.9"
    ).result()
    found = bigquery.query("SELECT id, predicted_label FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY id")
    answers = [(row["id"], row["predicted_label"]) for row in found]
    assert [id_ for id_, _ in answers] == [1, 2]
    assert answers[0][1] == pytest.approx(1.25, abs=0.3)
    assert answers[1][1] == pytest.approx(-0.6, abs=0.3)
    config = QueryJobConfig(destination=f"{bigquery.project}.ds.scored")
    scored = bigquery.query(
        "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM t))", job_config=config
    ).result()
    assert [one.name for one in scored.schema] == ["predicted_label", "id", "a", "B"]
    assert bigquery.get_table("ds.scored").num_rows == 2
    with pytest.raises(exceptions.BadRequest, match="Column b is not found in the input data to the PREDICT"):
        bigquery.query("SELECT * FROM ML.PREDICT(MODEL m, (SELECT 1.0 AS a))").result()


def test_a_model_is_changed_and_deleted(bigquery, model):
    model.description, model.friendly_name, model.labels = "about", "friendly", {"team": "x"}
    changed = bigquery.update_model(model, ["description", "friendly_name", "labels"])
    assert (changed.description, changed.friendly_name, changed.labels) == (
        "about",
        "friendly",
        {"team": "x"},
    )
    with pytest.raises((exceptions.PreconditionFailed, exceptions.Conflict)):
        bigquery.update_model(model, ["description"])
    changed.labels = {"team": None}
    assert bigquery.update_model(changed, ["labels"]).labels == {}
    with pytest.raises(exceptions.Conflict):
        bigquery.create_table(Table(f"{bigquery.project}.ds.m", schema=[SchemaField("a", "INT64")]))
    bigquery.delete_model("ds.m")
    with pytest.raises(exceptions.NotFound, match="Not found: Model"):
        bigquery.get_model("ds.m")
    bigquery.delete_model("ds.m", not_found_ok=True)
    with pytest.raises(exceptions.NotFound, match="Not found: Model"):
        bigquery.query("SELECT * FROM ML.PREDICT(MODEL m, (SELECT 1.0 AS a, 1.0 AS b))").result()


def test_a_model_that_expires_is_gone(bigquery, model):
    model.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    changed = bigquery.update_model(model, ["expires"])
    assert abs((changed.expires - model.expires).total_seconds()) < 1


def test_a_model_is_extracted(bigquery, model, folder, tables):
    uri = f"gs://{BUCKET}/{bigquery.project}-m"
    job = bigquery.extract_table(
        Model(f"{bigquery.project}.ds.m").reference, uri, source_type="Model", job_config=ExtractJobConfig()
    )
    job.result(retry=None)
    copied = tables.folder / f"{bigquery.project}-m" / "model.json"
    assert copied.read_bytes() == (folder / "model.json").read_bytes()


def test_a_model_of_sql_is_an_ordinary_one(bigquery, model, tables):
    address = f"{tables.http}/v1/projects/{bigquery.project}/locations/us-central1/models"
    [found] = httpx.get(address).json()["models"]
    assert "m" in found["name"].rpartition("/")[2]
