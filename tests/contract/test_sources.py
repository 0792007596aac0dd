"""Every source of files keeps what `trivet.testing.sources.check_source` asks."""

import gzip
import json
import struct
from pathlib import Path

import pytest
import zstandard

from trivet.core.errors import InvalidArgument
from trivet.sources.base import Inputs
from trivet.sources.crc32c import masked
from trivet.sources.registry import formats, get_source
from trivet.testing.sources import check_source

VALUES = [1, "two", [3, 4.5], {"five": None}, 9007199254740993, "größe\u2028", True]
ROWS = [
    {"id": 1, "text": "a, b", "x": 0.5},
    {"id": 2, "text": 'q"uote', "x": None},
    {"id": 3, "text": "two\nlines", "x": -1e-7},
    {"id": 12345678901234567890, "text": "ü", "x": 2},
]
CSV = (
    b"\xef\xbb\xbfid,text,x\r\n"
    b'1,"a, b",0.5\n2,"q""uote",\r\n\n3,"two\nlines",-1e-7\n12345678901234567890,\xc3\xbc,2\n'
)
BLOBS = [b"", b"one", bytes(range(256)), b"\xff" * 5000]


def tf_record(*blobs):
    heads = [struct.pack("<Q", len(blob)) for blob in blobs]
    return b"".join(
        head + struct.pack("<I", masked(head)) + blob + struct.pack("<I", masked(blob))
        for head, blob in zip(heads, blobs, strict=True)
    )


def lines(values):
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


FILES = {
    "jsonl": (lines(VALUES), VALUES),
    "csv": (CSV, ROWS),
    "tf-record": (tf_record(*BLOBS), BLOBS),
    "tf-record-gzip": (tf_record(*BLOBS), BLOBS),
}
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def touched(path):
    return lambda: path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("name", FILES)
def test_a_source_of_files(tmp_path, name, suffix):
    content, records = FILES[name]
    path = tmp_path / f"input{suffix}"
    path.write_bytes(PACKED[suffix](content))
    missing = str(tmp_path / "missing")
    check_source(name, Inputs((str(path),)), records, missing=missing, change=touched(path))


@pytest.mark.parametrize("name", FILES)
def test_several_files_are_read_in_order(tmp_path, name):
    content, records = FILES[name]
    for file in ("b", "a", "c/d"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    (tmp_path / "empty").write_bytes(b"")
    check_source(name, Inputs((str(tmp_path / "[bx]"), str(tmp_path))), records * 3)
    uris = [shard.uri for shard in get_source(name).plan(Inputs((str(tmp_path / "[bx]"), str(tmp_path))))]
    assert [uri.removeprefix(f"{tmp_path}/") for uri in uris] == ["b", "a", "c/d", "empty"]


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_a_shard_without_records(tmp_path, name):
    (tmp_path / "empty").write_bytes(b"")
    check_source(name, Inputs((str(tmp_path / "empty"),)), [])


@pytest.mark.parametrize("suffix", PACKED)
def test_a_list_of_files(tmp_path, suffix):
    named = []
    for index, blob in enumerate(BLOBS):
        (tmp_path / f"{index}.bin").write_bytes(blob)
        named.append(f"{index}.bin" if index % 2 else str(tmp_path / f"{index}.bin"))
    path = tmp_path / f"list.txt{suffix}"
    content = "\n".join([*named[:2], "", "missing.bin", *named[2:], str(tmp_path), "ftp://x/y"])
    path.write_bytes(PACKED[suffix](content.encode()))
    inputs = Inputs((str(path),))
    check_source("file-list", inputs, BLOBS, unreadable=3, change=touched(path))


def test_every_format_of_the_api_is_found_by_its_name():
    assert {"jsonl", "csv", "tf-record", "tf-record-gzip", "file-list"} <= set(formats())
    for name in ("tf_record", "avro", "", "base", "../x", "lines"):
        with pytest.raises(InvalidArgument, match="format"):
            get_source(name)


def test_a_source_is_named_in_one_place():
    """A format's module is its name, so that nothing else must list it."""
    folder = Path(__file__).parents[2] / "src/trivet/sources"
    for name in formats():
        assert (folder / f"{name.replace('-', '_')}.py").exists()
