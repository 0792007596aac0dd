"""Artifacts in Google Cloud Storage: Google's own client puts them there, in an emulator."""

import pytest

from tests.integration.buckets import google_storage
from trivet import storage
from trivet.control.artifacts import ArtifactStore
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound

NAMES = [
    "model.bst", "a b.txt", "vertex_ai_auto_staging/2026-01-01-00:00:00.123/model.joblib", "100%41.txt",
    "what?x=1", "part#1", "größe.txt", "a+b", "stars*[s].txt", ".hidden", "deep/er/and deeper/x",
]  # fmt: skip


@pytest.fixture
def bucket(monkeypatch):
    with google_storage(monkeypatch) as client:
        yield client.create_bucket("models")


def put(bucket, name, content=b"content"):
    bucket.blob(name).upload_from_string(content)


def test_a_folder_is_copied_whatever_its_objects_are_called(bucket, tmp_path):
    for name in NAMES:
        put(bucket, f"fraud/v 1/{name}", name.encode())
    put(bucket, "fraud/v 1/dir/", b"")  # as a console leaves it
    put(bucket, "fraud/v 10/other")
    store = ArtifactStore(tmp_path / "store")
    artifact = store.add("gs://models/fraud/v 1")
    folder = store.path(artifact)
    found = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    assert sorted(found) == sorted(NAMES)
    assert all((folder / name).read_text() == name for name in NAMES)
    assert artifact.source == "gs://models/fraud/v 1"
    assert store.add("gs://models/fraud/v 1/").key == artifact.key


def test_a_single_object_is_copied_with_its_signature(bucket, tmp_path):
    put(bucket, "m/model.onnx")
    put(bucket, "m/other.onnx")
    put(bucket, "m/signature.json", b"{}")
    store = ArtifactStore(tmp_path / "store")
    folder = store.path(store.add("gs://models/m/model.onnx"))
    assert sorted(file.name for file in folder.iterdir()) == ["model.onnx", "signature.json"]


def test_a_big_object_comes_whole_and_progress_is_told(bucket, tmp_path):
    content = bytes(range(256)) * 40_000
    put(bucket, "m/big", content)
    told = []
    store = ArtifactStore(tmp_path / "store")
    artifact = store.add("gs://models/m", lambda done, size: told.append((done, size)))
    assert (store.path(artifact) / "big").read_bytes() == content
    assert told[-1] == (len(content), len(content))
    assert artifact.size == len(content)


@pytest.mark.parametrize("location", ["gs://models/nothing", "gs://no-such-bucket/m", "gs://models"])
def test_where_nothing_is_there_it_says_so(bucket, tmp_path, location):
    with pytest.raises(NotFound, match=f"{location}: there is nothing"):
        ArtifactStore(tmp_path / "store").add(location)


@pytest.mark.parametrize("name", ["m//double", "m/back\\slash", "m/" + "x" * 300])
def test_names_that_a_disk_cannot_keep_are_refused(bucket, tmp_path, name):
    put(bucket, name)
    with pytest.raises(InvalidArgument, match="the name"):
        ArtifactStore(tmp_path / "store").add("gs://models/m")
    assert list((tmp_path / "store").iterdir()) == []


def test_an_object_that_is_also_a_folder_is_refused(bucket, tmp_path):
    put(bucket, "m/a")
    put(bucket, "m/a/b")
    with pytest.raises(FailedPrecondition, match="cannot be stored"):
        ArtifactStore(tmp_path / "store").add("gs://models/m")


def test_fetch_downloads_an_object_or_a_folder(bucket, tmp_path):
    put(bucket, "m/model.cbm", b"one")
    put(bucket, "m/sub/x", b"two")
    assert storage.fetch("gs://models/m/model.cbm", tmp_path).read_bytes() == b"one"
    assert (storage.fetch("gs://models/m", tmp_path) / "sub/x").read_bytes() == b"two"


def test_a_store_in_a_bucket_serves_machines_that_have_not_added_the_model(bucket, tmp_path):
    (tmp_path / "m/deep").mkdir(parents=True)
    (tmp_path / "m/model.json").write_text("{}")
    (tmp_path / "m/deep/er").write_text("content")
    here = ArtifactStore("gs://models/artifacts", cache=tmp_path / "here")
    artifact = here.add(str(tmp_path / "m"))
    assert here.add(str(tmp_path / "m")) == artifact
    names = sorted(blob.name for blob in bucket.list_blobs())
    assert names == [f"artifacts/{artifact.key}/deep/er", f"artifacts/{artifact.key}/model.json"]

    there = ArtifactStore("gs://models/artifacts", cache=tmp_path / "there")
    folder = there.path(artifact)
    assert (folder / "deep/er").read_text() == "content"
    bucket.delete_blobs(list(bucket.list_blobs()))
    assert there.path(artifact) == folder  # fetched once
    there.verify(artifact)
    with pytest.raises(FailedPrecondition, match="gone from gs://models/artifacts; upload it again"):
        ArtifactStore("gs://models/artifacts", cache=tmp_path / "late").path(artifact)


def test_a_copy_that_is_damaged_in_its_bucket_is_never_served(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    artifact = ArtifactStore("gs://models", cache=tmp_path / "here").add(str(tmp_path / "model.json"))
    put(bucket, f"{artifact.key}/model.json", b"[]")
    with pytest.raises(FailedPrecondition, match="is damaged"):
        ArtifactStore("gs://models", cache=tmp_path / "there").path(artifact)
    assert list((tmp_path / "there").iterdir()) == []
    ArtifactStore("gs://models", cache=tmp_path / "here").add(str(tmp_path / "model.json"))
    assert ArtifactStore("gs://models", cache=tmp_path / "there").path(artifact).is_dir()


def test_what_is_damaged_here_is_fetched_again(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    here = ArtifactStore("gs://models", cache=tmp_path / "here")
    artifact = here.add(str(tmp_path / "model.json"))
    file = here.path(artifact) / "model.json"
    file.chmod(0o600)
    file.write_text("[]")
    assert ArtifactStore("gs://models", cache=tmp_path / "here").path(artifact) == file.parent
    assert file.read_text() == "{}"


def test_what_is_removed_from_a_bucket_is_gone_there_and_here(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    store = ArtifactStore("gs://models/a", cache=tmp_path / "here")
    store.remove(store.add(str(tmp_path / "model.json")))
    assert list(bucket.list_blobs()) == []
    assert list((tmp_path / "here").iterdir()) == []
