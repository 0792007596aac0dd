"""Archives of TorchServe that are hostile, or broken; and the folders that they are unpacked into."""

import gc
import json
import os
import stat
import subprocess
import sys
import tempfile
import zipfile

import pytest

from trivet.core.errors import FailedPrecondition
from trivet.runtimes import torch_archive
from trivet.runtimes.torch_archive import unpack
from trivet.runtimes.torch_files import kind

MANIFEST = {"model": {"modelName": "m", "handler": "handler.py"}}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Have archives unpacked below a folder of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def written(folder, files, manifest=MANIFEST, name="MAR-INF/MANIFEST.json"):
    path = folder / "model.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        if manifest is not None:
            content = manifest if isinstance(manifest, str | bytes) else json.dumps(manifest)
            archive.writestr(name, content)
    return path


def member(name, mode):
    """Return a member of another type than file."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def test_an_archive_is_unpacked_for_as_long_as_it_is_used(tmp_path, temporary):
    path = written(tmp_path, {"handler.py": "x = 1", "sub/deep/file.txt": "text"})
    assert kind(path) == "archive"
    files = unpack(path)
    assert (files.folder / "sub/deep/file.txt").read_text() == "text"
    assert files.manifest == MANIFEST
    assert stat.S_IMODE(files.folder.parent.stat().st_mode) == 0o700
    assert sorted(one.name for one in files.folder.iterdir()) == ["MAR-INF", "handler.py", "sub"]
    del files
    gc.collect()
    assert not list(temporary.iterdir())


def test_a_folder_is_used_as_it_is(tmp_path, temporary):
    (tmp_path / "m/MAR-INF").mkdir(parents=True)
    (tmp_path / "m/MAR-INF/MANIFEST.json").write_text(json.dumps(MANIFEST))
    assert kind(tmp_path / "m") == "archive"
    assert unpack(tmp_path / "m").folder == tmp_path / "m"
    gc.collect()
    assert (tmp_path / "m/MAR-INF").is_dir()
    assert not list(temporary.iterdir())


def test_the_manifest_may_be_written_in_small_letters(tmp_path):
    path = written(tmp_path, {}, name="mar-inf/manifest.json")
    assert kind(path) == "archive"
    assert unpack(path).manifest == MANIFEST


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "//evil", "..\\evil", "C:\\evil", "a/..", "..", "./../evil"]
)
def test_a_name_that_leads_out_is_refused(tmp_path, temporary, name):
    path = written(tmp_path, {name: "x"})
    with pytest.raises(FailedPrecondition, match="leads out of the archive"):
        unpack(path)
    assert not list(tmp_path.rglob("evil"))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFDIR])
def test_links_and_devices_are_refused(tmp_path, mode):
    path = written(tmp_path, {member("evil", mode | 0o777): "/etc/passwd"})
    with pytest.raises(FailedPrecondition, match="'evil' is a link or a device"):
        unpack(path)


def test_a_file_under_a_name_that_is_there_is_refused(tmp_path):
    path = written(tmp_path, {"a": "x", "a/b": "y"})
    with pytest.raises(FailedPrecondition, match=r"model.mar cannot be read as a TorchServe model"):
        unpack(path)
    path = written(tmp_path, {"a": "x", "./a": "y"})
    with pytest.raises(FailedPrecondition, match="File exists"):
        unpack(path)


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(torch_archive, "_FREE_BYTES", 1000)
    path = written(tmp_path, {"zeros": bytes(10_000_000)})
    with pytest.raises(FailedPrecondition, match="it would unpack to more than"):
        unpack(path)
    monkeypatch.setattr(torch_archive, "_MAX_FILES", 3)
    path = written(tmp_path, {str(index): "" for index in range(4)})
    with pytest.raises(FailedPrecondition, match="it would unpack to more than"):
        unpack(path)
    assert not list(temporary.iterdir())


def test_files_larger_than_they_say_are_refused(tmp_path, monkeypatch, temporary):
    path = written(tmp_path, {"zeros": bytes(100_000)})
    content = path.read_bytes()
    size = (100_000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(FailedPrecondition, match=r"model.mar cannot be read as a TorchServe model: Bad CRC"):
        unpack(path)
    assert not list(temporary.iterdir())


def test_an_encrypted_file_is_refused(tmp_path):
    path = written(tmp_path, {"secret": "x"})
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[start] |= 1
    path.write_bytes(content)
    with pytest.raises(FailedPrecondition, match=r"model.mar cannot be read .* is encrypted"):
        unpack(path)


@pytest.mark.parametrize(
    "manifest",
    [
        "{", "[]", "7", "[" * 100_000, b"\xff", {}, {"model": None}, {"model": {}},
        {"model": {"handler": ""}}, {"model": {"handler": 7}},
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_a_manifest_without_a_handler_is_refused(tmp_path, temporary, manifest):
    with pytest.raises(FailedPrecondition, match=r"MANIFEST.json is not JSON with a handler"):
        unpack(written(tmp_path, {}, manifest))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", ["missing.pt", "../../model.mar", "/etc/passwd", 7, "sub"])
@pytest.mark.parametrize("key", ["serializedFile", "modelFile", "requirementsFile", "configFile", "config"])
def test_a_manifest_that_names_other_files_is_refused(tmp_path, key, name):
    manifest = {"model": {"handler": "h.py", key: name}}
    with pytest.raises(FailedPrecondition, match=rf"model\.{key}: there is no file"):
        unpack(written(tmp_path, {"sub/file": "x"}, manifest))


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(tmp_path, temporary):
    path = written(tmp_path, {"handler.py": ""})
    code = (
        "import sys, tempfile; from pathlib import Path; from trivet.runtimes.torch_archive import unpack;"
        "tempfile.tempdir = sys.argv[2]; used = unpack(Path(sys.argv[1])); print('ready', flush=True);"
        "sys.stdin.read()"
    )

    def other():
        process = subprocess.Popen(
            [sys.executable, "-c", code, path, temporary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        return process

    killed, running = other(), other()
    try:
        killed.kill()
        killed.wait()
        assert len(list(temporary.iterdir())) == 2
        mine = unpack(path)
        assert len(list(temporary.iterdir())) == 2
        assert mine.folder.is_dir()
        running.stdin.close()
        assert running.wait() == 0
        assert list(temporary.iterdir()) == [mine.folder.parent], "it tidied up"
    finally:
        for process in (killed, running):
            process.kill()
            process.wait()
            process.stdout.close()
            process.stdin.close()


def test_folders_of_others_are_left_alone(tmp_path, temporary):
    (temporary / "trivet-mar-other").mkdir()
    os.symlink(tmp_path, temporary / "trivet-mar-link")
    (tmp_path / "lock").touch()
    unpack(written(tmp_path, {}))
    assert (temporary / "trivet-mar-other").is_dir()
    assert (tmp_path / "lock").exists()
