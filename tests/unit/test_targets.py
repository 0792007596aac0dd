import os
import re

import pytest

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.storage.targets import target


def put(folder, name, content=b"x"):
    upload = folder.open(name)
    upload.file.write(content)
    return upload.commit()


def test_a_file_is_whole_or_not_there(tmp_path):
    folder = target(str(tmp_path / "a" / "b"))
    assert folder.sizes() == {}
    upload = folder.open("one")
    upload.file.write(b"12345")
    assert folder.sizes() == {}
    assert upload.commit() == 5
    upload.discard()
    assert folder.sizes() == {"one": 5}
    other = folder.open("one")
    other.file.write(b"1")
    other.discard()
    other.discard()
    with folder.read("one") as file:
        assert file.read() == b"12345"
    assert os.listdir(tmp_path / "a" / "b") == ["one"]
    assert put(folder, "one", b"") == 0
    assert folder.sizes() == {"one": 0}


def test_files_have_the_rights_that_others_have(tmp_path):
    (tmp_path / "like").touch()
    put(target(str(tmp_path)), "one")
    assert (tmp_path / "one").stat().st_mode == (tmp_path / "like").stat().st_mode


@pytest.mark.parametrize("uri", ["out", "{}/out", "file://{}/out%20x", "gs://bucket/out", "s3://other/x/"])
def test_paths_and_buckets(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    buckets = {"gs://bucket": str(tmp_path / "gs"), "s3://other": str(tmp_path / "s3")}
    uri = uri.format(tmp_path)
    folder = target(uri, buckets).at("100%41 ü")
    put(folder, "one")
    (path,) = tmp_path.rglob("one")
    assert path.parent.name == "100%41 ü"
    assert target(folder.location, buckets).sizes() == {"one": 1}
    assert folder.location.startswith(uri.rstrip("/"))


def test_folders_that_may_be_written_to(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link").symlink_to(tmp_path)
    allowed = [tmp_path / "other", str(tmp_path / "mine")]
    put(target(f"{tmp_path}/mine/out", None, allowed), "one")
    for path in ("elsewhere", "mine/../elsewhere", "mine/link/elsewhere", "mine2"):
        with pytest.raises(InvalidArgument, match="not in a folder that results may be written to"):
            target(f"{tmp_path}/{path}", None, allowed)
    with pytest.raises(InvalidArgument, match="leads out of"):
        target("gs://b/link/x", {"gs://b": str(tmp_path / "mine")})
    assert target("gs://b/x", {"gs://b": str(tmp_path / "mine")}, []).sizes() == {}
    with pytest.raises(InvalidArgument, match="expected a local path or a URI"):
        target("http://x/y")


def test_links_are_no_folders(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArgument, match="link: is a link"):
        target(str(tmp_path)).at("link")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(InvalidArgument, match="leads nowhere"):
        target(str(tmp_path / "round"), None, [tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidArgument, match="may not be written to"):
        target(str(tmp_path / "new")).probe()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(InvalidArgument, match=re.escape(f"{tmp_path}/file is a file; expected a folder")):
            target(str(tmp_path / path)).probe()
    with pytest.raises(FailedPrecondition, match="file: "):
        target(str(tmp_path / "file")).open("one")
    target(str(tmp_path / "new" / "er")).probe()
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_becomes_another_with_some_of_its_files(tmp_path):
    folder, final = target(str(tmp_path)).at(".hidden"), target(str(tmp_path)).at("shown")
    for name in ("a", "b", "rest"):
        put(folder, name, name.encode())
    begun = folder.open("begun")  # by a process that was killed
    folder.move_to(final, {"a": "1", "b": "b"})
    begun.discard()
    assert final.sizes() == {"1": 1, "b": 1}
    assert os.listdir(tmp_path) == ["shown"]
    with pytest.raises(FailedPrecondition, match="hidden: No such file"):
        folder.move_to(final, {"c": "c"})


def test_what_is_removed_is_gone(tmp_path):
    folder = target(str(tmp_path)).at("f")
    folder.remove()
    folder.remove(["a"])
    for name in ("a", "b"):
        put(folder, name)
    folder.remove(["a", "c"])
    assert folder.sizes() == {"b": 1}
    folder.remove()
    assert os.listdir(tmp_path) == []


def test_below_a_file_there_is_nothing_to_remove(tmp_path):
    (tmp_path / "iris.csv").write_text("a")
    target(str(tmp_path / "iris.csv")).at(".f").remove()
    assert (tmp_path / "iris.csv").read_text() == "a"
