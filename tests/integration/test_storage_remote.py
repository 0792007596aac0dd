"""Artifacts in Google Cloud Storage and in S3: the owner's own client puts them there, in an emulator."""

import time

import pytest

from tests.integration.buckets import amazon_storage, emulated
from tests.integration.plane import Plane
from tests.integration.server import up
from trivet import storage
from trivet.control.artifacts import ArtifactStore
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound

NAMES = [
    "model.bst", "a b.txt", "vertex_ai_auto_staging/2026-01-01-00:00:00.123/model.joblib", "100%41.txt",
    "what?x=1", "part#1", "größe.txt", "a+b", "stars*[s].txt", ".hidden", "deep/er/and deeper/x",
]  # fmt: skip
PREDICTOR = b"""
class Predictor:
    def predict(self, instances):
        return ["here" for _ in instances]
"""


@pytest.fixture(params=["gs", "s3"])
def bucket(monkeypatch, request):
    with emulated(request.param, monkeypatch) as bucket:
        yield bucket


def test_a_folder_is_copied_whatever_its_objects_are_called(bucket, tmp_path):
    for name in NAMES:
        bucket.put(f"fraud/v 1/{name}", name.encode())
    bucket.put("fraud/v 1/dir/", b"")  # as a console leaves it
    bucket.put("fraud/v 10/other")
    store = ArtifactStore(tmp_path / "store")
    artifact = store.add(f"{bucket.uri}/fraud/v 1")
    folder = store.path(artifact)
    found = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    assert sorted(found) == sorted(NAMES)
    assert all((folder / name).read_text() == name for name in NAMES)
    assert artifact.source == f"{bucket.uri}/fraud/v 1"
    assert store.add(f"{bucket.uri}/fraud/v 1/").key == artifact.key


def test_a_single_object_is_copied_with_its_signature(bucket, tmp_path):
    bucket.put("m/model.onnx")
    bucket.put("m/other.onnx")
    bucket.put("m/signature.json", b"{}")
    store = ArtifactStore(tmp_path / "store")
    folder = store.path(store.add(f"{bucket.uri}/m/model.onnx"))
    assert sorted(file.name for file in folder.iterdir()) == ["model.onnx", "signature.json"]


def test_a_big_object_comes_whole_and_progress_is_told(bucket, tmp_path):
    content = bytes(range(256)) * 40_000
    bucket.put("m/big", content)
    told = []
    store = ArtifactStore(tmp_path / "store")
    artifact = store.add(f"{bucket.uri}/m", lambda done, size: told.append((done, size)))
    assert (store.path(artifact) / "big").read_bytes() == content
    assert told[-1] == (len(content), len(content))
    assert artifact.size == len(content)


@pytest.mark.parametrize("place", ["models/nothing", "no-such-bucket/m", "models"])
def test_where_nothing_is_there_it_says_so(bucket, tmp_path, place):
    location = bucket.uri.replace("models", place)
    with pytest.raises(NotFound, match=f"{location}: there is nothing"):
        ArtifactStore(tmp_path / "store").add(location)


@pytest.mark.parametrize("name", ["m//double", "m/back\\slash", "m/" + "x" * 300])
def test_names_that_a_disk_cannot_keep_are_refused(bucket, tmp_path, name):
    bucket.put(name)
    with pytest.raises(InvalidArgument, match="the name"):
        ArtifactStore(tmp_path / "store").add(f"{bucket.uri}/m")
    assert list((tmp_path / "store").iterdir()) == []


def test_an_object_that_is_also_a_folder_is_refused(bucket, tmp_path):
    bucket.put("m/a")
    bucket.put("m/a/b")
    with pytest.raises(FailedPrecondition, match="cannot be stored"):
        ArtifactStore(tmp_path / "store").add(f"{bucket.uri}/m")


def test_fetch_downloads_an_object_or_a_folder(bucket, tmp_path):
    bucket.put("m/model.cbm", b"one")
    bucket.put("m/sub/x", b"two")
    assert storage.fetch(f"{bucket.uri}/m/model.cbm", tmp_path).read_bytes() == b"one"
    assert (storage.fetch(f"{bucket.uri}/m", tmp_path) / "sub/x").read_bytes() == b"two"


def test_a_store_in_a_bucket_serves_machines_that_have_not_added_the_model(bucket, tmp_path):
    (tmp_path / "m/deep").mkdir(parents=True)
    (tmp_path / "m/model.json").write_text("{}")
    (tmp_path / "m/deep/er").write_text("content")
    here = ArtifactStore(f"{bucket.uri}/artifacts", cache=tmp_path / "here")
    artifact = here.add(str(tmp_path / "m"))
    assert here.add(str(tmp_path / "m")) == artifact
    assert bucket.names() == [f"artifacts/{artifact.key}/deep/er", f"artifacts/{artifact.key}/model.json"]

    there = ArtifactStore(f"{bucket.uri}/artifacts", cache=tmp_path / "there")
    folder = there.path(artifact)
    assert (folder / "deep/er").read_text() == "content"
    bucket.empty()
    assert there.path(artifact) == folder  # fetched once
    there.verify(artifact)
    with pytest.raises(FailedPrecondition, match=f"gone from {bucket.uri}/artifacts; upload it again"):
        ArtifactStore(f"{bucket.uri}/artifacts", cache=tmp_path / "late").path(artifact)


def test_a_copy_that_is_damaged_in_its_bucket_is_never_served(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    artifact = ArtifactStore(bucket.uri, cache=tmp_path / "here").add(str(tmp_path / "model.json"))
    bucket.put(f"{artifact.key}/model.json", b"[]")
    with pytest.raises(FailedPrecondition, match="is damaged"):
        ArtifactStore(bucket.uri, cache=tmp_path / "there").path(artifact)
    assert list((tmp_path / "there").iterdir()) == []
    ArtifactStore(bucket.uri, cache=tmp_path / "here").add(str(tmp_path / "model.json"))
    assert ArtifactStore(bucket.uri, cache=tmp_path / "there").path(artifact).is_dir()


def test_what_is_damaged_here_is_fetched_again(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    here = ArtifactStore(bucket.uri, cache=tmp_path / "here")
    artifact = here.add(str(tmp_path / "model.json"))
    file = here.path(artifact) / "model.json"
    file.chmod(0o600)
    file.write_text("[]")
    assert ArtifactStore(bucket.uri, cache=tmp_path / "here").path(artifact) == file.parent
    assert file.read_text() == "{}"


def test_what_is_removed_from_a_bucket_is_gone_there_and_here(bucket, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    store = ArtifactStore(f"{bucket.uri}/a", cache=tmp_path / "here")
    store.remove(store.add(str(tmp_path / "model.json")))
    assert bucket.names() == []
    assert list((tmp_path / "here").iterdir()) == []


def test_without_credentials_the_library_says_so(monkeypatch, tmp_path):
    with amazon_storage(monkeypatch):
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(FailedPrecondition, match=r"s3://models/m: the object store, .* credentials"):
            ArtifactStore(tmp_path / "store").add("s3://models/m")


def test_a_model_comes_from_a_bucket_and_is_kept_in_one(bucket, tmp_path):
    bucket.put("mine/predictor.py", PREDICTOR)
    store = f"{bucket.uri}/artifacts"
    with up(tmp_path / "data", TRIVET_CATALOG_STORE=store, HOME=str(tmp_path / "here")) as server:
        plane = Plane(server.client)
        model = plane.upload(f"{bucket.uri}/mine", "m")
        plane.endpoint("e")
        id_ = plane.deploy("e", model)
        assert plane.predict("e", [1])["predictions"] == ["here"]
        assert server.stop() == 0
    kept = set(bucket.names()) - {"mine/predictor.py"}
    assert [name.split("/")[::2] for name in kept] == [["artifacts", "predictor.py"]]
    # a machine that has none of the files, but the catalog
    with up(tmp_path / "data", TRIVET_CATALOG_STORE=store, HOME=str(tmp_path / "there")) as server:
        plane = Plane(server.client)
        assert plane.predict("e", [1])["predictions"] == ["here"]
        plane.undeploy("e", id_)
        plane.delete("models/m")
        since = time.monotonic()
        while bucket.names() != ["mine/predictor.py"]:  # they go when nobody serves them any more
            assert time.monotonic() - since < 30, bucket.names()
            time.sleep(0.01)
        assert server.stop() == 0
