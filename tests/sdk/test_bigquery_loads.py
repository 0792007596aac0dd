"""Jobs that load, extract and copy, by google-cloud-bigquery."""

import gzip
import io
import json

import pytest
from google.api_core import exceptions
from google.cloud.bigquery import (
    CopyJobConfig,
    DestinationFormat,
    ExtractJobConfig,
    LoadJobConfig,
    SchemaField,
    SourceFormat,
)

from tests.sdk.tables import BUCKET

pytestmark = [
    pytest.mark.filterwarnings("ignore:BigQuery Storage module not found"),
    pytest.mark.filterwarnings("ignore:Loading pandas DataFrame"),
    pytest.mark.filterwarnings("ignore:Retrieving DataFrames via google-cloud-bigquery"),
    pytest.mark.filterwarnings("ignore:load_table_from_dataframe"),
    pytest.mark.filterwarnings("ignore:Writing DataFrames"),
    pytest.mark.filterwarnings("ignore:.*google-cloud-bigquery is deprecated"),
]


def values(bigquery, table="ds.t"):
    return [dict(row) for row in bigquery.list_rows(table)]


def test_a_data_frame_is_loaded(bigquery, dataset):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [0.5, None, 2.5],
            "s": ["a", None, "ü"],
            "b": [True, False, True],
            "when": pandas.to_datetime(["2024-01-01", "2024-01-02", None], utc=True),
            "many": [[1, 2], [], [3]],
        }
    )
    job = bigquery.load_table_from_dataframe(frame, "ds.t").result(retry=None)
    assert (job.state, job.output_rows, job.input_files) == ("DONE", 3, 1)
    table = bigquery.get_table("ds.t")
    assert [(one.name, one.field_type, one.mode) for one in table.schema] == [
        ("i", "INTEGER", "NULLABLE"),
        ("f", "FLOAT", "NULLABLE"),
        ("s", "STRING", "NULLABLE"),
        ("b", "BOOLEAN", "NULLABLE"),
        ("when", "TIMESTAMP", "NULLABLE"),
        ("many", "INTEGER", "REPEATED"),
    ]
    found = bigquery.query("SELECT * FROM t ORDER BY i").to_dataframe()
    assert found["i"].tolist() == [1, 2, 3]
    assert found["f"].fillna(-1).tolist() == [0.5, -1, 2.5]
    assert [list(one) for one in found["many"]] == [[1, 2], [], [3]]
    bigquery.load_table_from_dataframe(frame, "ds.t").result(retry=None)  # which is added
    assert bigquery.get_table("ds.t").num_rows == 6


def test_a_large_data_frame_comes_in_pieces(bigquery, dataset):
    pandas = pytest.importorskip("pandas")
    import numpy as np

    count = 1_000_000
    frame = pandas.DataFrame({"x": np.random.default_rng(1).random(count), "y": np.arange(count)})
    job = bigquery.load_table_from_dataframe(frame, "ds.t").result(retry=None)
    assert job.output_rows == count
    [row] = bigquery.query("SELECT sum(y) AS y, sum(x) AS x FROM t").result()
    assert row["y"] == count * (count - 1) // 2
    assert row["x"] == pytest.approx(frame["x"].sum())


def test_json_is_loaded_and_its_columns_found(bigquery, dataset):
    rows = [
        {"i": 1, "f": 1.5, "s": "a", "d": "2024-01-01", "l": [1, 2], "r": {"x": "y", "deep": [{"z": True}]}},
        {"i": 2, "extra": 7},
    ]
    assert bigquery.load_table_from_json(rows, "ds.t").result(retry=None).output_rows == 2
    kinds = {one.name: (one.field_type, one.mode) for one in bigquery.get_table("ds.t").schema}
    assert kinds == {
        "i": ("INTEGER", "NULLABLE"),
        "f": ("FLOAT", "NULLABLE"),
        "s": ("STRING", "NULLABLE"),
        "d": ("DATE", "NULLABLE"),
        "l": ("INTEGER", "REPEATED"),
        "r": ("RECORD", "NULLABLE"),
        "extra": ("INTEGER", "NULLABLE"),
    }
    first, second = values(bigquery)
    assert first["r"] == {"x": "y", "deep": [{"z": True}]}
    assert (second["i"], second["l"], second["r"], second["extra"]) == (2, [], None, 7)


def test_a_file_whose_size_is_unknown_comes_in_pieces(bigquery, dataset):
    content = "\n".join(json.dumps({"a": n, "s": "x" * 100}) for n in range(20_000)).encode()
    config = LoadJobConfig(source_format=SourceFormat.NEWLINE_DELIMITED_JSON, autodetect=True)
    job = bigquery.load_table_from_file(io.BytesIO(content), "ds.t", job_config=config)
    assert job.result(retry=None).output_rows == 20_000
    assert bigquery.get_table("ds.t").num_rows == 20_000


def test_csv_is_loaded(bigquery, dataset):
    schema = [
        SchemaField("a", "INT64"),
        SchemaField("s", "STRING"),
        SchemaField("d", "DATE"),
        SchemaField("f", "FLOAT64"),
    ]
    text = 'a,s,d,f\n1,"x, ""y""",2024-01-01,1.5\n2,,,\n3,"",2024-02-29,-inf\n'
    config = LoadJobConfig(schema=schema, skip_leading_rows=1)
    job = bigquery.load_table_from_file(io.BytesIO(text.encode()), "ds.t", size=len(text), job_config=config)
    assert job.result(retry=None).output_rows == 3
    found = [(row["a"], row["s"], str(row["d"])) for row in bigquery.list_rows("ds.t")]
    assert found == [(1, 'x, "y"', "2024-01-01"), (2, None, "None"), (3, "", "2024-02-29")]
    config = LoadJobConfig(autodetect=True, source_format=SourceFormat.CSV)
    bigquery.load_table_from_file(io.BytesIO(text.encode()), "ds.found", job_config=config).result(retry=None)
    kinds = [(one.name, one.field_type) for one in bigquery.get_table("ds.found").schema]
    assert kinds == [("a", "INTEGER"), ("s", "STRING"), ("d", "DATE"), ("f", "FLOAT")] or kinds[:3] == [
        ("a", "INTEGER"), ("s", "STRING"), ("d", "DATE")
    ]  # fmt: skip


def test_csv_has_its_options(bigquery, dataset):
    text = "1|~a\nb~|N\n2|c|x\n"
    config = LoadJobConfig(
        schema=[SchemaField("a", "INT64"), SchemaField("s", "STRING"), SchemaField("n", "STRING")],
        field_delimiter="|",
        quote_character="~",
        allow_quoted_newlines=True,
        null_marker="N",
    )
    bigquery.load_table_from_file(io.BytesIO(text.encode()), "ds.t", job_config=config).result(retry=None)
    assert [tuple(row) for row in bigquery.list_rows("ds.t")] == [(1, "a\nb", None), (2, "c", "x")]


@pytest.mark.parametrize("format_", ["CSV", "NEWLINE_DELIMITED_JSON"])
def test_a_row_that_does_not_fit_is_named_and_nothing_is_loaded(bigquery, dataset, format_):
    good, bad = ("1", "x") if format_ == "CSV" else ('{"a": 1}', '{"a": "x"}')
    content = f"{good}\n{bad}\n{good}\n".encode()

    def load(**more):
        config = LoadJobConfig(schema=[SchemaField("a", "INT64")], source_format=format_, **more)
        return bigquery.load_table_from_file(io.BytesIO(content), "ds.t", job_config=config)

    with pytest.raises(exceptions.BadRequest, match=r'(row|line) 2: .*INT64.*Field: a; Value: "x"'):
        load().result(retry=None)
    with pytest.raises(exceptions.NotFound):
        bigquery.get_table("ds.t")
    job = load(max_bad_records=1).result(retry=None)
    assert job.output_rows == 2


def test_files_are_loaded_from_where_they_are(bigquery, dataset, tables):
    folder = tables.folder / bigquery.project
    folder.mkdir()
    for at in range(3):
        lines = "".join(json.dumps({"a": 10 * at + n}) + "\n" for n in range(2))
        (folder / f"part-{at}.json.gz").write_bytes(gzip.compress(lines.encode()))
    config = LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=[SchemaField("a", "INT64")])
    uri = f"gs://{BUCKET}/{bigquery.project}/part-*.json.gz"
    job = bigquery.load_table_from_uri(uri, "ds.t", job_config=config).result(retry=None)
    assert (job.input_files, job.output_rows) == (3, 6)
    assert sorted(row["a"] for row in values(bigquery)) == [0, 1, 10, 11, 20, 21]
    local = bigquery.load_table_from_uri(f"file://{folder}/part-1.json.gz", "ds.u", job_config=config)
    assert local.result(retry=None).output_rows == 2
    for uri, error, said in (
        ("gs://files/none-*.json", exceptions.NotFound, "no such file"),
        ("file:///etc/hostname", exceptions.BadRequest, "not in a folder"),
        ("http://example.com/x.json", exceptions.BadRequest, "scheme"),
    ):
        with pytest.raises(error, match=said):
            bigquery.load_table_from_uri(uri, "ds.t", job_config=config).result(retry=None)


def test_a_load_says_what_becomes_of_the_table(bigquery, dataset):
    def load(rows, **more):
        return bigquery.load_table_from_json(rows, "ds.t", job_config=LoadJobConfig(**more)).result(
            retry=None
        )

    with pytest.raises(exceptions.NotFound, match="Not found: Table"):
        load([{"a": 1}], create_disposition="CREATE_NEVER", schema=[SchemaField("a", "INT64")])
    load([{"a": 1}])
    with pytest.raises(exceptions.Conflict, match="Already Exists"):
        load([{"a": 2}], write_disposition="WRITE_EMPTY")
    load([{"a": 2}], write_disposition="WRITE_APPEND")
    assert values(bigquery) == [{"a": 1}, {"a": 2}]
    schema = [SchemaField("a", "INT64"), SchemaField("b", "STRING")]
    with pytest.raises(exceptions.BadRequest, match=r"Cannot add fields \(field: b\)"):
        load([{"a": 3, "b": "x"}], schema=schema)
    load([{"a": 3, "b": "x"}], schema=schema, schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert values(bigquery)[-1] == {"a": 3, "b": "x"}
    with pytest.raises(exceptions.BadRequest, match="Field a has changed type from INT64 to STRING"):
        load([{"a": "x"}], schema=[SchemaField("a", "STRING")])
    load([{"c": True}], write_disposition="WRITE_TRUNCATE")
    assert values(bigquery) == [{"c": True}]
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset"):
        bigquery.load_table_from_json([{"a": 1}], "none.t").result(retry=None)


def test_what_is_not_loaded_is_refused_by_name(bigquery, dataset):
    for format_ in ("AVRO", "ORC", "DATASTORE_BACKUP"):
        config = LoadJobConfig(source_format=format_)
        with pytest.raises(exceptions.MethodNotImplemented, match=format_):
            bigquery.load_table_from_file(io.BytesIO(b"x"), "ds.t", job_config=config).result(retry=None)


def test_a_table_is_extracted_and_loaded_again(bigquery, dataset, tables):
    bigquery.query(
        "CREATE TABLE t AS SELECT x AS a, CONCAT('s', CAST(x AS STRING)) AS s, x / 4 AS f, x = 1 AS b, "
        "TIMESTAMP '2024-01-01 00:00:00.5+00' AS w, NUMERIC '1.5' AS n FROM UNNEST([1, 2, 3]) AS x"
    ).result()
    expected = values(bigquery)
    for format_ in ("CSV", "NEWLINE_DELIMITED_JSON", "PARQUET"):
        uri = f"gs://{BUCKET}/{bigquery.project}/{format_}-*.gz"
        config = ExtractJobConfig(destination_format=format_, compression="GZIP")
        job = bigquery.extract_table("ds.t", uri, job_config=config).result(retry=None)
        assert job.destination_uri_file_counts == [1]
        assert (tables.folder / bigquery.project / f"{format_}-000000000000.gz").exists()
        config = LoadJobConfig(source_format=format_, schema=bigquery.get_table("ds.t").schema)
        if format_ == "CSV":
            config.skip_leading_rows = 1
        bigquery.load_table_from_uri(uri, f"ds.from_{format_}", job_config=config).result(retry=None)
        assert values(bigquery, f"ds.from_{format_}") == expected, format_


def test_an_extract_says_what_it_cannot_write(bigquery, dataset):
    bigquery.query("CREATE TABLE t AS SELECT [1] AS many").result()
    for uri, more, said in (
        (f"gs://{BUCKET}/x.csv", {}, "nested schema. Field: many"),
        ("file:///tmp/x.json", {"destination_format": DestinationFormat.NEWLINE_DELIMITED_JSON}, "folder"),
    ):
        with pytest.raises(exceptions.BadRequest, match=said):
            bigquery.extract_table("ds.t", uri, job_config=ExtractJobConfig(**more)).result(retry=None)
    config = ExtractJobConfig(destination_format="AVRO")
    with pytest.raises(exceptions.MethodNotImplemented, match="AVRO"):
        bigquery.extract_table("ds.t", f"gs://{BUCKET}/x", job_config=config).result(retry=None)


def test_tables_are_copied(bigquery, dataset):
    for name in ("one", "two"):
        bigquery.query(f"CREATE TABLE {name} AS SELECT '{name}' AS a").result()
    bigquery.copy_table("ds.one", "ds.copy").result(retry=None)
    assert values(bigquery, "ds.copy") == [{"a": "one"}]
    with pytest.raises(exceptions.Conflict, match="Already Exists"):
        bigquery.copy_table("ds.two", "ds.copy").result(retry=None)
    config = CopyJobConfig(write_disposition="WRITE_APPEND")
    bigquery.copy_table("ds.two", "ds.copy", job_config=config).result(retry=None)
    assert values(bigquery, "ds.copy") == [{"a": "one"}, {"a": "two"}]
    config = CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    bigquery.copy_table(["ds.two", "ds.one"], "ds.copy", job_config=config).result(retry=None)
    assert values(bigquery, "ds.copy") == [{"a": "two"}, {"a": "one"}]
    with pytest.raises(exceptions.NotFound, match="Not found: Table"):
        bigquery.copy_table("ds.none", "ds.copy").result(retry=None)
    with pytest.raises(exceptions.MethodNotImplemented, match="snapshots"):
        bigquery.copy_table("ds.one", "ds.s", job_config=CopyJobConfig(operation_type="SNAPSHOT"))
