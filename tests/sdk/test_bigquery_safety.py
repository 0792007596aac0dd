"""What callers of BigQuery's API cannot reach, and models that crash or never end."""

import time

import httpx
import pytest
from google.api_core import exceptions
from google.cloud.bigquery import ExtractJobConfig, LoadJobConfig

from tests.integration.test_sql_trouble import ASK, CREATE, MODEL
from tests.sdk.tables import BUCKET
from tests.sdk.test_bigquery_process import process

LINK = "link.json"


@pytest.fixture
def secret(tables, tmp_path):
    """A file beside the one folder that statements may reach, with a link to it from there."""
    file = tmp_path / "secret.json"
    file.write_text('{"a": 42}\n')
    link = tables.folder / LINK
    link.symlink_to(file)
    yield file
    link.unlink()


def test_load_jobs_read_nothing_outside_the_folders(bigquery, dataset, tables, secret):
    config = LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", autodetect=True)
    for uri in (
        f"file://{secret}", str(secret), f"gs://{BUCKET}/../{secret.name}", f"gs://{BUCKET}/{LINK}",
        f"{tables.folder}/{LINK}", f"{tables.folder}/*.json", "http://127.0.0.1:1/x.json",
        f"gs://{BUCKET}/%2e%2e/{secret.name}",
    ):  # fmt: skip
        with pytest.raises(exceptions.GoogleAPICallError):
            bigquery.load_table_from_uri(uri, "ds.stolen", job_config=config).result(retry=None)
    assert [one.table_id for one in bigquery.list_tables("ds")] == []


def test_extract_jobs_write_nothing_outside_the_folders(bigquery, dataset, tables, tmp_path, secret):
    bigquery.query("CREATE TABLE ds.t AS SELECT 1 AS a").result()
    before = secret.read_text()
    for uri in (
        f"file://{tmp_path}/out.json", f"{tmp_path}/out.json", f"gs://{BUCKET}/../out.json",
        f"gs://{BUCKET}/x/../../out.json", f"gs://{BUCKET}/{LINK}",
    ):  # fmt: skip
        config = ExtractJobConfig(destination_format="NEWLINE_DELIMITED_JSON")
        try:
            bigquery.extract_table("ds.t", uri, job_config=config).result(retry=None)
        except exceptions.GoogleAPICallError:
            continue
        assert uri.endswith(LINK)  # which it may replace, but not follow
    assert secret.read_text() == before
    assert sorted(tmp_path.iterdir()) == [secret]
    assert not (tables.folder.parent / "out.json").exists()


def test_models_and_statements_write_nothing_outside_the_folders(bigquery, dataset, tables, tmp_path):
    (tables.folder / "plain").mkdir()
    (tables.folder / "plain/predictor.py").write_text(MODEL.replace("BAD", "pass"))
    bigquery.query(CREATE.format("plain", tables.folder / "plain")).result()
    for text in (
        f"EXPORT MODEL ds.plain OPTIONS(uri='{tmp_path}/out')",
        f"EXPORT MODEL ds.plain OPTIONS(uri='gs://{BUCKET}/../out')",
        f"EXPORT DATA OPTIONS(uri='{tmp_path}/*.csv', format='CSV') AS SELECT 1",
        f"COPY ds.t TO '{tmp_path}/out'", f"ATTACH '{tmp_path}/out' AS x",
        "SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM '/etc/hostname'",
        "CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='relative')",
        "SELECT * FROM __trivet.objects", "SELECT getenv('HOME')",
    ):  # fmt: skip
        with pytest.raises(exceptions.GoogleAPICallError):
            bigquery.query(text).result(retry=None)
    assert list(tmp_path.iterdir()) == []
    assert not (tables.folder.parent / "out").exists()


@pytest.mark.parametrize(
    "name", ["__trivet", "information_schema", "a.b", "a/b", "..", "a b", "", "é" * 2000]
)
def test_names_of_datasets_are_names(bigquery, name):
    url = f"{bigquery._connection.API_BASE_URL}/bigquery/v2/projects/{bigquery.project}/datasets"
    answer = httpx.post(url, json={"datasetReference": {"datasetId": name}})
    assert answer.status_code == 400, answer.text


def test_a_model_that_crashes_ends_only_its_statement(bigquery, dataset, tables):
    for name, bad in (("crash", "ctypes.string_at(0)"), ("loop", "ctypes.PyDLL(None).sleep(300)")):
        (tables.folder / name).mkdir()
        (tables.folder / name / "predictor.py").write_text(MODEL.replace("BAD", bad))
        bigquery.query(CREATE.format(name, tables.folder / name)).result()
    number = process(tables.data)
    with pytest.raises(exceptions.GoogleAPICallError, match=r"ds\.crash: .* was ended by SIGSEGV"):
        bigquery.query(ASK.format("crash", 13.0)).result(retry=None, job_retry=None)
    assert [row["b"] for row in bigquery.query(ASK.format("crash", 2.0)).result()] == [4.0]
    job = bigquery.query(ASK.format("loop", 13.0))
    other = bigquery.query(ASK.format("crash", 1.0)).result()  # others go on meanwhile
    assert [row["b"] for row in other] == [2.0]
    began = time.monotonic()
    job.cancel()
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled"):
        job.result(retry=None)
    assert time.monotonic() - began < 3
    assert [row["b"] for row in bigquery.query(ASK.format("loop", 1.0)).result()] == [2.0]
    assert process(tables.data) == number


def test_deep_and_huge_statements_are_refused_and_the_process_lives(bigquery, tables):
    list(bigquery.query("SELECT 1").result())
    number = process(tables.data)
    for text, said in (
        (f"SELECT {'(' * 50_000}1{')' * 50_000}", "too complex"),
        (f"SELECT {'+'.join(['1'] * 10_000)}", "too complex"),
        (f"SELECT '{'x' * 2_000_000}'", "too large"),
    ):
        with pytest.raises(exceptions.BadRequest, match=said):
            bigquery.query(text).result(retry=None)
    assert process(tables.data) == number
