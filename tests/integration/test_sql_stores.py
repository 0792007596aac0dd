"""Files of object stores as tables, read from emulators of Google Cloud Storage and of S3."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trivet.sql
from tests.integration.buckets import emulated
from trivet.core.errors import InvalidArgument, NotFound


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
