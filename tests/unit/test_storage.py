import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet import storage
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.storage.names import check


@pytest.mark.parametrize("location", ["models/a.onnx", "/models/a b.onnx"])
def test_a_path_stays_what_it_is(tmp_path, location):
    assert str(storage.fetch(location, tmp_path)) == location


def test_a_file_uri_is_a_path(tmp_path):
    assert str(storage.fetch("file:///models/a%20b.onnx", tmp_path)) == "/models/a b.onnx"
    assert str(storage.fetch("file://localhost/m", tmp_path)) == "/m"


@pytest.mark.parametrize("location", ["http://host/m.onnx", "ftp://host/m", "memory://m", "local:///m", ""])
def test_other_schemes_are_refused(tmp_path, location):
    with pytest.raises(InvalidArgument, match="scheme file, gs or s3"):
        storage.fetch(location, tmp_path)


@pytest.mark.parametrize(
    "location",
    ["file://host/m", "file:///m?x=1", "file:///m#x", "file:///m%00", "a\0b", "gs://", "gs:///m", "s3:///"],
)
def test_a_location_that_means_nothing_is_refused(tmp_path, location):
    with pytest.raises(InvalidArgument):
        storage.source(location)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_missing_client_library_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, scheme):
    library, extra = {"s3": ("s3fs", "s3"), "gs": ("gcsfs.core", "gcs")}[scheme]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FailedPrecondition, match=rf"pip install 'trivet\[{extra}\]'"):
        storage.fetch(f"{scheme}://bucket/m", tmp_path)


def names(source):
    return [file.name for file in source.files()]


def test_all_files_of_a_folder_are_listed_in_order_but_for_what_python_leaves(tmp_path):
    for name in ("b", "a/z", "a/b/c", "a.txt", ".hidden", "__pycache__/x.pyc", "a/__pycache__/y.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = storage.source(str(tmp_path)).files()
    assert [file.name for file in found] == [".hidden", "a.txt", "a/b/c", "a/z", "b"]
    assert [file.size for file in found] == [7, 5, 5, 3, 1]


def test_what_stands_beside_a_file_goes_along(tmp_path):
    for name in ("m.onnx", "signature.json", "other"):
        (tmp_path / name).write_text(name)
    assert names(storage.source(str(tmp_path / "m.onnx"), beside=["signature.json", "no"])) == [
        "m.onnx", "signature.json",
    ]  # fmt: skip


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(NotFound, match="there is no such file or folder"):
        storage.source(str(tmp_path / "no"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="the folder is empty"):
        storage.source(str(tmp_path / "empty")).files()


def test_links_within_the_folder_are_followed(tmp_path):
    folder = tmp_path / "m"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs/1").write_text("one")
    (folder / "model").symlink_to("blobs/1")
    (folder / "again").symlink_to("blobs")
    source = storage.source(str(folder))
    assert names(source) == ["again/1", "blobs/1", "model"]
    for file in source.files():
        source.copy(file, tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == "one"
        (tmp_path / "copy").unlink()


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "../secret", "../m-other/x", "gone"])
def test_links_that_lead_out_are_refused(tmp_path, target):
    (tmp_path / "m").mkdir()
    (tmp_path / "m-other").mkdir()
    (tmp_path / "m-other/x").write_text("")
    (tmp_path / "secret").write_text("")
    (tmp_path / "m/link").symlink_to(target)
    with pytest.raises(FailedPrecondition, match=r"link"):
        storage.source(str(tmp_path / "m")).files()


def test_folders_that_contain_themselves_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to("../a")
    with pytest.raises(FailedPrecondition, match="contains itself"):
        storage.source(str(tmp_path)).files()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(FailedPrecondition, match="cannot be copied"):
        storage.source(str(tmp_path / "circle"))


def test_devices_pipes_and_sockets_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FailedPrecondition, match="pipe is neither a file nor a folder"):
        storage.source(str(tmp_path)).files()
    with pytest.raises(FailedPrecondition, match="null is neither a file nor a folder"):
        storage.source("/dev/null").files()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        with pytest.raises(FailedPrecondition, match="socket is neither a file nor a folder"):
            storage.source(str(tmp_path / "socket")).files()


@pytest.mark.parametrize("what", ["file", "folder", "pipe"])
def test_what_is_swapped_after_it_was_listed_is_not_copied(tmp_path, what):
    (tmp_path / "m/sub").mkdir(parents=True)
    (tmp_path / "m/sub/x").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("secret")
    source = storage.source(str(tmp_path / "m"))
    (file,) = source.files()
    (tmp_path / "m/sub/x").unlink()
    if what == "file":
        (tmp_path / "m/sub/x").symlink_to("../../out/x")
    elif what == "folder":
        (tmp_path / "m/sub").rmdir()
        (tmp_path / "m/sub").symlink_to("../out")
    else:
        os.mkfifo(tmp_path / "m/sub/x")
    with pytest.raises(FailedPrecondition):
        source.copy(file, tmp_path / "copy")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_swapped_after_it_was_checked_is_not_opened(tmp_path, what, monkeypatch):
    (tmp_path / "m/sub").mkdir(parents=True)
    (tmp_path / "m/sub/x").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("secret")
    source = storage.source(str(tmp_path / "m"))
    checked = source._inside("sub/x")
    monkeypatch.setattr(source, "_inside", lambda name: checked)  # and now, before it is opened:
    (tmp_path / "m/sub/x").unlink()
    if what == "file":
        (tmp_path / "m/sub/x").symlink_to("../../out/x")
    else:
        (tmp_path / "m/sub").rmdir()
        (tmp_path / "m/sub").symlink_to("../out")
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        source.open("sub/x")


def test_a_file_that_grows_meanwhile_is_refused(tmp_path):
    (tmp_path / "m").write_text("four")
    source = storage.source(str(tmp_path / "m"))
    (file,) = source.files()
    (tmp_path / "m").write_text("more than four")
    with pytest.raises(FailedPrecondition, match="m changed while it was copied"):
        source.copy(file, tmp_path / "copy")


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_a_bucket_can_be_a_local_folder(tmp_path, scheme):
    (tmp_path / "b/fraud v1").mkdir(parents=True)
    (tmp_path / "b/fraud v1/a%20b").write_text("content")
    buckets = {f"{scheme}://models/": str(tmp_path / "b"), f"{scheme}://model": "/nowhere"}
    assert names(storage.source(f"{scheme}://models/fraud v1/", buckets)) == ["a%20b"]
    assert names(storage.source(f"{scheme}://models", buckets)) == ["fraud v1/a%20b"]
    file = storage.fetch(f"{scheme}://models/fraud v1/a%20b", tmp_path / "scratch", buckets)
    assert file == tmp_path / "b/fraud v1/a%20b"
    with pytest.raises(NotFound, match=f"{scheme}://models/no: there is no such"):
        storage.source(f"{scheme}://models/no", buckets)


def test_a_bucket_keeps_within_its_folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/out").symlink_to("/etc")
    buckets = {"gs://b": str(tmp_path / "b")}
    for location in (
        "gs://b/../secret",
        "gs://b/a/../../secret",
        "gs://b/./a",
        "gs://b/out",
        "gs://b/out/passwd",
    ):
        with pytest.raises(InvalidArgument, match="leads out of"):
            storage.source(location, buckets)
        with pytest.raises(InvalidArgument, match="leads out of"):
            storage.fetch(location, tmp_path / "scratch", buckets)


def test_models_may_be_allowed_from_some_folders_only(tmp_path):
    for name in ("allowed", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m").write_text("")
    (tmp_path / "allowed/link").symlink_to("../other/m")
    allowed = [tmp_path / "allowed"]
    assert names(storage.source(str(tmp_path / "allowed/m"), folders=allowed)) == ["m"]
    assert names(storage.source(f"file://{tmp_path}/allowed/m", folders=[tmp_path])) == ["m"]
    for location in ("other/m", "allowed/link", "allowed/../other/m", "other/no", "allowed-not"):
        with pytest.raises(InvalidArgument, match="not in a folder that models may come from"):
            storage.source(str(tmp_path / location), folders=allowed)


PARTS = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.lists(PARTS, max_size=4).map("/".join))
def test_a_name_is_refused_or_stays_below_its_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "names"
    try:
        check(name, "here")
    except InvalidArgument:
        return
    target = root / name
    assert os.path.normpath(target) == str(target)
    assert target.is_relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("content")
    assert names(storage.source(str(root))) == [name]
    import shutil

    shutil.rmtree(root)
