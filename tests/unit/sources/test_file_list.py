import json

import pytest

from tests.unit.sources.reading import read
from trivet.sources.base import Inputs
from trivet.sources.registry import get_source


def labels(path, **options):
    inputs = Inputs((str(path),), **options)
    source = get_source("file-list")
    batches = [batch for shard in source.plan(inputs) for batch in source.read(shard, inputs)]
    return [json.loads(label) for batch in batches for label in batch.labels or ()]


def test_each_line_is_a_file_shown_as_it_is_written(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "a b.txt").write_bytes(b"one")
    (tmp_path / "größe").write_bytes(b"\xff")
    (tmp_path / "[x]*").write_bytes(b"not a wildcard")
    listed = ["../a b.txt", "", f"{tmp_path}/größe", f"file://{tmp_path}/a%20b.txt", "  ../[x]*  "]
    (tmp_path / "lists/list").write_bytes("\r\n".join(listed).encode())
    expected = {0: b"one", 2: b"\xff", 3: b"one", 4: b"not a wildcard"}
    for shard_bytes in (1, 30, 1000):
        assert read("file-list", tmp_path / "lists/list", shard_bytes=shard_bytes) == expected
    assert labels(tmp_path / "lists/list") == [listed[0], *listed[2:4], "../[x]*"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"missing", "there is no such file or folder"), (b".", "is a folder; expected a file"),
        (b"ftp://x/y", "expected a local path or a URI of scheme"), (b"\xff", "not UTF-8"),
        (b"a\x00b", "expected a local path"), (b"/etc/hostname", "not in a folder that inputs may be in"),
        (b"link", "not in a folder that inputs may be in"), (b"gs://", "names no bucket"),
        (b"x" * 5000, "File name too long"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_costs_only_itself(tmp_path, line, message):
    (tmp_path / "good").write_bytes(b"one")
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "list").write_bytes(b"good\n" + line + b"\ngood")
    found = read("file-list", tmp_path / "list", folders=(str(tmp_path),))
    assert found.pop(0) == found.pop(2) == b"one"
    assert message in str(found.pop(1))
    assert not found


def test_a_file_that_is_too_large_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("trivet.sources.file_list.LONGEST", 1 << 20)
    (tmp_path / "big").write_bytes(bytes((1 << 20) + 1))
    (tmp_path / "list").write_bytes(b"big\nlist\n")
    found = read("file-list", tmp_path / "list")
    assert "is larger than 1 MiB" in str(found[0])
    assert found[1] == b"big\nlist\n"


def test_files_come_in_bounded_batches(tmp_path):
    (tmp_path / "file").write_bytes(bytes(400_000))
    (tmp_path / "list").write_bytes(b"file\n" * 7)
    inputs = Inputs((str(tmp_path / "list"),))
    (shard,) = get_source("file-list").plan(inputs)
    batches = list(get_source("file-list").read(shard, inputs))
    assert [len(batch.offsets) for batch in batches] == [3, 3, 1]


def test_paths_in_a_bucket_are_relative_to_the_list(tmp_path):
    (tmp_path / "in/img").mkdir(parents=True)
    (tmp_path / "in/img/1").write_bytes(b"one")
    (tmp_path / "in/list").write_bytes(b"img/1\ngs://b/in/img/1\n../../etc/passwd\n")
    inputs = Inputs(("gs://b/in/list",), buckets={"gs://b": str(tmp_path)})
    (shard,) = get_source("file-list").plan(inputs)
    (batch,) = get_source("file-list").read(shard, inputs)
    assert batch.blobs == [b"one", b"one"]
    assert "leads out" in batch.unreadable[0].message
