"""Files of object stores as tables, read from emulators of Google Cloud Storage and of S3."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trivet.sql
from tests.integration.buckets import emulated
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.storage.targets import RemoteFolder


@pytest.fixture(params=["gs", "s3"])
def bucket(monkeypatch, request):
    with emulated(request.param, monkeypatch) as bucket:
        yield bucket


def parquet(**columns):
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


@pytest.mark.parametrize("folders", [None, "/nowhere"], ids=["anywhere", "fenced"])
def test_objects_are_tables(bucket, folders, monkeypatch, tmp_path):
    if folders:
        monkeypatch.setenv("TRIVET_SQL_FOLDERS", folders)
    bucket.put("in/a.parquet", parquet(id=[1, 2], s=["x", "y"]))
    bucket.put("in/b.parquet", parquet(id=[3], s=["z"]))
    bucket.put("rows.csv", b"id,s\n7,q\n")
    with trivet.sql.connect(":memory:") as con:
        text = f"SELECT SUM(id) AS n, MAX(s) AS s FROM '{bucket.uri}/in/*.parquet'"
        assert con.sql(text).fetchall() == [(6, "z")]
        assert con.sql(f"SELECT id, s FROM '{bucket.uri}/rows.csv'").fetchall() == [(7, "q")]
        bucket.put("in/c.parquet", parquet(id=[10], s=["zz"]))
        assert con.sql(text).fetchall() == [(16, "zz")]
        with pytest.raises(NotFound, match="there is no such file"):
            con.sql(f"SELECT * FROM '{bucket.uri}/nope.parquet'")
        if folders:
            pq.write_table(pa.table({"a": [1]}), tmp_path / "local.parquet")
            with pytest.raises(InvalidArgument, match=r"sql\.folders"):
                con.sql(f"SELECT * FROM '{tmp_path}/local.parquet'")


PREDICTOR = """
from json import loads
from pathlib import Path

class Predictor:
    def load(self, folder):
        self.factor = loads((Path(folder) / "sub/deep/factor.json").read_text())

    def predict(self, instances):
        return [one["x"] * self.factor for one in instances]
"""


def test_columns_are_fetched_ahead_from_stores_alone(bucket, tmp_path):
    bucket.put("a.parquet", parquet(id=[1, 2]))
    (tmp_path / "b.parquet").write_bytes(parquet(id=[3]))
    with trivet.sql.connect(":memory:") as con:

        def ahead(uri):
            con.sql(f"SELECT SUM(id) FROM '{uri}'")
            ((off,),) = con.cursor.execute("SELECT current_setting('disable_parquet_prefetching')").fetchall()
            return not off

        assert [ahead(f"{one}.parquet") for one in (tmp_path / "b", f"{bucket.uri}/a", tmp_path / "b")] == [
            False, True, True,
        ]  # fmt: skip
    with trivet.sql.connect(":memory:", dialect="duckdb") as con:
        assert ahead(tmp_path / "b.parquet")


@pytest.fixture
def con(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIVET_ARTIFACTS_ALLOW_PYTHON", "true")
    (tmp_path / "model/sub/deep").mkdir(parents=True)
    (tmp_path / "model/predictor.py").write_text(PREDICTOR)
    (tmp_path / "model/sub/deep/factor.json").write_text("3")
    with trivet.sql.connect(data=tmp_path / "data", dataset="ds") as con:
        con.sql("CREATE SCHEMA ds")
        con.sql(f"CREATE MODEL m OPTIONS(model_type='PYTHON', model_path='{tmp_path}/model')")
        yield con


def test_a_model_is_exported_and_imported_again(bucket, con):
    uri = f"{bucket.uri}/exported/a b%20/m"
    done = con.sql(f"EXPORT MODEL m OPTIONS(uri='{uri}/')")
    assert done.message == "Exported 2 files of model local:ds.m."
    assert bucket.names() == ["exported/a b%20/m/predictor.py", "exported/a b%20/m/sub/deep/factor.json"]
    con.sql(f"CREATE MODEL again OPTIONS(model_type='PYTHON', model_path='{uri}/*')")
    asked = "SELECT prediction FROM ML.PREDICT(MODEL again, (SELECT 2 AS x))"
    assert con.sql(asked).fetchall() == [("6",)]
    with pytest.raises(FailedPrecondition, match=r"expected an empty folder, or none yet at \[1:14\]$"):
        con.sql(f"EXPORT MODEL m OPTIONS(uri='{uri}')")
    assert len(bucket.names()) == 2


def test_an_export_that_fails_leaves_nothing(bucket, con, monkeypatch):
    put = RemoteFolder.put

    def failing(self, file, path):
        if path.endswith("factor.json"):
            raise FailedPrecondition("the store is full")
        put(self, file, path)

    bucket.put("m/else", b"x")
    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "put", failing)
        with pytest.raises(FailedPrecondition, match="the store is full"):
            con.sql(f"EXPORT MODEL m OPTIONS(uri='{bucket.uri}/m/new')")
    assert bucket.names() == ["m/else"]
    con.sql(f"EXPORT MODEL m OPTIONS(uri='{bucket.uri}/m/new')")
    assert bucket.names() == ["m/else", "m/new/predictor.py", "m/new/sub/deep/factor.json"]


def test_a_model_that_one_may_not_write_is_not_exported(bucket, con):
    with pytest.raises(InvalidArgument, match=rf"{bucket.uri[:5]}nobodys/m"):
        con.sql(f"EXPORT MODEL m OPTIONS(uri='{bucket.uri[:5]}nobodys/m')")
    assert bucket.names() == []
