"""Eighteen rows of each format through `trivet batch`, from the command to the documented results."""

import base64
import csv
import gzip
import io
import json
import sys
import time

import pytest

from tests.integration.batch import Place, rows
from tests.integration.bigquery import emulated
from tests.unit.sources.test_tf_record import record as tf_record

B64 = base64.b64encode(b"something to encode as binary here").decode()
INSTANCES = [
    1, 2, 3, 4, 1.24578001, "a", "A", {"key": "value"}, [1], [1, 2, 3, 4], [[1, 2], [3, 4]],
    [[[1, 2], [3, 4]]], [{"key": "value"}], [{"key": "value"}, {"key": "value2"}],
    ["gs://bucket/path/to/image/image1.jpg"], B64, [B64], {"b64": B64},
]  # fmt: skip
TEXTS = [json.dumps(one) for one in INSTANCES]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def model():
    """What answers with the instances themselves."""
    return "echo:"


@pytest.fixture
def predict(place, model, record_property, capsys):
    """Return a function that runs a job of the managed service's kind, and says how long that took."""

    def run(format, *arguments, output="out"):
        since = time.perf_counter()
        job = place.job(model, *arguments, "--vertex", "--output", output)
        seconds = time.perf_counter() - since
        record_property("seconds", seconds)
        with capsys.disabled():
            sys.stdout.write(f"{format}: 18 rows in {seconds:.2f} s\n")
        assert job["state"] == "JOB_STATE_SUCCEEDED"
        assert job["completionStats"] == {"successfulCount": "18", "failedCount": "0"}
        return job

    return run


def results(place):
    (folder,) = place.shown()
    assert (folder / "prediction.errors_stats-00000-of-00001").read_bytes() == b""
    assert all(file.name.startswith("prediction.") for file in folder.iterdir())
    return rows(place.output())


def test_jsonl_lines_are_sent_as_they_are(place, predict):
    (place.folder / "rows.jsonl").write_text("".join(f"{text}\n" for text in TEXTS))
    predict("jsonl", "--input", "rows.jsonl")
    assert results(place) == [{"instance": one, "prediction": one} for one in INSTANCES]


def test_csv_rows_are_arrays_of_numbers_and_strings(place, predict):
    with (place.folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["input_1"])
        cells = [one if isinstance(one, int | float) else json.dumps(one) for one in INSTANCES]
        writer.writerows([one] for one in cells)
    predict("csv", "--input", "rows.csv")
    sent = [[float(one)] if not isinstance(one, str) else [one] for one in cells]
    assert results(place) == [{"instance": one, "prediction": one} for one in sent]
    assert isinstance(results(place)[0]["prediction"][0], float)


def example(text):
    """Return a serialised `Example` with one feature, `value`."""
    inner = b"\x0a" + bytes([len(text)]) + text
    inner = b"\x0a" + bytes([len(inner)]) + inner
    entry = b"\x0a\x05value\x12" + bytes([len(inner)]) + inner
    entry = b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(entry)]) + entry


@pytest.mark.parametrize("format", ["tf-record", "tf-record-gzip"])
def test_tf_records_are_sent_in_base64_and_come_back_without_an_instance(place, predict, format):
    (place.folder / "records").mkdir()
    for index, text in enumerate(TEXTS):
        content = tf_record(example(text.encode()))
        content = gzip.compress(content) if format.endswith("gzip") else content
        suffix = ".tfrecord.gz" if format.endswith("gzip") else ".tfrecord"
        (place.folder / "records" / f"{index:02}{suffix}").write_bytes(content)
    predict(format, "--input", "records/*")
    sent = [base64.b64encode(example(text.encode())).decode() for text in TEXTS]
    assert sent[2] == "ChAKDgoFdmFsdWUSBQoDCgEz"
    assert results(place) == [{"prediction": {"b64": one}} for one in sent]


def test_the_files_of_a_list_are_sent_in_base64(place, predict):
    paths = [place.folder / f"instance_{index}.txt" for index in range(18)]
    for path, text in zip(paths, TEXTS, strict=True):
        path.write_text(text)
    (place.folder / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    predict("file-list", "--input", "list.txt", "--input-format", "file-list")
    sent = [base64.b64encode(text.encode()).decode() for text in TEXTS]
    assert sent[0] == "MQ=="
    assert results(place) == [
        {"instance": str(path), "prediction": {"b64": one}} for path, one in zip(paths, sent, strict=True)
    ]


def test_bigquery_rows_are_arrays_and_the_output_is_a_table(place, predict, monkeypatch):
    pytest.importorskip("google.cloud.bigquery")
    with emulated(monkeypatch) as service:
        fields = [{"name": "input_1", "type": "STRING"}]
        service.put("p.ds.rows", fields, [{"input_1": text} for text in TEXTS])
        job = predict("bigquery", "--input", "bq://p.ds.rows", output="bq://p.ds")
        table = job["outputInfo"]["bigqueryOutputTable"]
        assert job["outputInfo"]["bigqueryOutputDataset"] == "bq://p.ds"
        made = service.rows["p", "ds", table]
    assert [row["input_1"] for row in made] == TEXTS
    assert [json.loads(row["prediction"]) for row in made] == [[text] for text in TEXTS]


def test_parquet_rows(place, predict):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"input_1": TEXTS}), place.folder / "rows.parquet")
    predict("parquet", "--input", "rows.parquet")
    assert [row["prediction"] for row in results(place)] == [[text] for text in TEXTS]


def test_rows_of_a_query(place, predict):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(place.folder / "rows.duckdb") as database:
        database.execute("create table rows (id int, input_1 text)")
        database.executemany("insert into rows values (?, ?)", list(enumerate(TEXTS)))
    sql = "select input_1 from rows order by id"
    predict("duckdb", "--input", "rows.duckdb", "--sql", sql)
    assert [row["prediction"] for row in results(place)] == [[text] for text in TEXTS]


def test_compressed_lines(place, predict):
    content = io.BytesIO("".join(f"{text}\n" for text in TEXTS).encode())
    (place.folder / "rows.jsonl.gz").write_bytes(gzip.compress(content.getvalue()))
    predict("jsonl.gz", "--input", "rows.jsonl.gz")
    assert [row["prediction"] for row in results(place)] == INSTANCES
