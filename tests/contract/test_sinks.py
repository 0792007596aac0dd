"""Every sink of files keeps what `trivet.testing.check_sink` asks, on the local disk and in object stores."""

import pytest

from tests.contract.file_sinks import find, place, requests
from tests.integration.buckets import emulated
from trivet.testing import check_sink

FORMATS = ["jsonl", "csv", "parquet"]


@pytest.mark.parametrize("format", FORMATS)
def test_it_conforms_on_the_local_disk(format, tmp_path):
    check_sink(format, place(tmp_path / "out"), find)
    assert all(folder.name.startswith("prediction-") for folder in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(("format", "scheme"), [("jsonl", "gs"), ("jsonl", "s3"), ("parquet", "gs")])
def test_it_conforms_in_an_object_store(format, scheme, monkeypatch):
    with emulated(scheme, monkeypatch) as bucket:
        check_sink(format, place(f"{bucket.uri}/out"), find, requests, quick=True)
        assert all(name.startswith("out/prediction-") for name in bucket.names())
