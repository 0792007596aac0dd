"""Inputs of batch prediction in Google Cloud Storage and in S3, as their owner's client puts them there."""

import gzip

import pytest

from tests.integration.buckets import emulated
from trivet.core.errors import FailedPrecondition, NotFound
from trivet.sources.base import Inputs
from trivet.sources.registry import get_source
from trivet.storage.inputs import Files, find
from trivet.testing.sources import check_source

NAMES = [
    "in/a.csv",
    "in/b.csv",
    "in/b 1.csv",
    "in/.hidden.csv",
    "in/2024/a.csv",
    "in/2024/01/ä.csv",
    "in2/a.csv",
]


@pytest.fixture(params=["gs", "s3"])
def bucket(monkeypatch, request):
    with emulated(request.param, monkeypatch) as bucket:
        yield bucket


def test_objects_are_found_as_local_files_are(bucket):
    for name in NAMES:
        bucket.put(name, name.encode())
    bucket.put("in/folder/", b"")  # as a console leaves it
    bucket.put("in/x[1]*", b"")

    def names(*uris):
        return [
            one.uri.removeprefix(f"{bucket.uri}/") for one in find([f"{bucket.uri}/{uri}" for uri in uris])
        ]

    assert names("in/*.csv") == ["in/a.csv", "in/b 1.csv", "in/b.csv"]
    assert names("in/**/a.csv") == ["in/2024/a.csv", "in/a.csv"]
    assert names("in*/a.csv") == ["in/a.csv", "in2/a.csv"]
    assert names("in/2024", "in2/") == ["in/2024/01/ä.csv", "in/2024/a.csv", "in2/a.csv"]
    assert names("in/.hidden.csv") == ["in/.hidden.csv"]
    assert names("in/x[1]*") == ["in/x[1]*"]
    assert len(names("")) == len(NAMES)
    for nothing in ("in/*.parquet", "no", "in/a"):
        with pytest.raises(NotFound, match="there is no such file"):
            names(nothing)
    with pytest.raises(NotFound):
        find([f"{bucket.uri.replace('models', 'no-such-bucket')}/a*"])


def test_a_part_is_read_and_another_version_refused(bucket):
    bucket.put("a", b"0123456789" * 1000)
    files = Files()
    (one,) = files.find([f"{bucket.uri}/a"])
    assert one.size == 10_000
    assert files.look(one.uri) == one
    with files.open(one.uri, 9_995, one.version) as file:
        assert file.read(100) == b"56789"
    bucket.put("a", b"9876543210" * 1000)
    with pytest.raises(FailedPrecondition, match="has changed since the job was planned"):
        files.open(one.uri, 0, one.version)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_sources_read_objects(bucket, pack):
    bucket.put("in/1.jsonl", pack(b"1\n\n[2]\n"))
    bucket.put("in/2.jsonl", pack(b'{"a": 3}'))
    check_source(
        "jsonl",
        Inputs((f"{bucket.uri}/in/*.jsonl",)),
        [1, [2], {"a": 3}],
        missing=f"{bucket.uri}/out/*",
        change=lambda: bucket.put("in/2.jsonl", pack(b'{"a": 4}')),
    )


def test_a_list_names_objects(bucket):
    bucket.put("in/img/1", b"\xff")
    bucket.put("in/list", f"img/1\n{bucket.uri}/in/img/1\nimg/2\n".encode())
    check_source("file-list", Inputs((f"{bucket.uri}/in/list",)), [b"\xff"] * 2, unreadable=1)


def test_an_object_that_goes_away_while_it_is_read_is_told(bucket):
    bucket.put("a", b"1\n" * (1 << 20))
    inputs = Inputs((f"{bucket.uri}/a",), shard_bytes=1 << 20)
    _, second = get_source("jsonl").plan(inputs)
    bucket.empty()
    with pytest.raises((FailedPrecondition, NotFound)):
        list(get_source("jsonl").read(second, inputs))
