"""Artifacts: copied for a version, discarded where there is none."""

from time import monotonic

import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.control import artifact_files, uploads
from trivet.control.artifacts import ArtifactStore
from trivet.core.errors import (
    Cancelled,
    Code,
    InvalidArgument,
    NotFound,
)
from trivet.core.resources import Query


def test_a_source_that_is_not_there_fails_the_operation(server):
    document = {"displayName": "m", "artifactUri": str(server.folder / "nothing")}
    operation = server.plane.upload_model(HERE, document, model_id="fraud")
    server.work()
    assert server.failed(operation).code == Code.NOT_FOUND.value
    assert server.kept() == set()
    with pytest.raises(NotFound):
        server.plane.model(FRAUD)


def test_a_folder_without_a_model_fails_the_operation_by_its_own_name(server):
    folder = server.folder / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": str(folder)})
    server.work()
    assert server.failed(operation).message.startswith(f"{folder}: ")
    assert server.kept() == set()


def test_an_upload_that_is_cancelled_leaves_nothing(server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document, model_id="fraud")
    server.plane.cancel_operation(operation.name)
    server.work()
    assert server.failed(operation).code == Code.CANCELLED.value
    assert server.kept() == set()
    with pytest.raises(NotFound):
        server.plane.model(FRAUD)


def test_a_cancelled_upload_is_over_at_once_whoever_copies_it(server, make_server, monkeypatch):
    """The copying thread finds out when it has copied, even where the operation is forgotten by then."""
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operations = [server.plane.upload_model(HERE, document) for _ in range(3)]
    other = make_server("other")
    copy, add = artifact_files.copy, server.store.add

    def cancelled(source, folder, location, progress):
        size = copy(source, folder, location)  # as if no byte had come yet
        name = server.plane.operations(HERE, Query(filter="done = false")).items[0].name
        other.plane.cancel_operation(name)
        assert other.failed(other.plane.operation(name)).code == Code.CANCELLED.value
        if name == operations[1].name:
            other.plane.delete_operation(name)
        return size

    def late(*args):
        artifact = add(*args)
        other.plane.cancel_operation(operations[0].name)
        assert server.kept() == set()
        return artifact

    monkeypatch.setattr(artifact_files, "copy", cancelled)
    for operation in operations[:0:-1]:
        server.plane.run(operation.name)
        assert server.kept() == set()
    monkeypatch.setattr(artifact_files, "copy", copy)
    monkeypatch.setattr(server.store, "add", late)
    server.plane.run(operations[0].name)
    assert server.kept() == set()
    assert server.failed(operations[0]).code == Code.CANCELLED.value


def test_a_copy_looks_whether_it_is_still_wanted(server, monkeypatch):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document)
    add = server.store.add

    def asked(source, progress, known):
        progress(0, 10)
        server.plane.cancel_operation(operation.name)
        monkeypatch.setattr(uploads, "monotonic", lambda: monotonic() + 2)
        with pytest.raises(Cancelled):
            progress(5, 10)
        return add(source, progress, known)

    monkeypatch.setattr(server.store, "add", asked)
    server.work()
    assert server.failed(operation).code == Code.CANCELLED.value


def test_what_an_interrupted_upload_has_left_goes_when_it_is_cancelled(server, make_server, monkeypatch):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document)
    add = server.store.add

    def killed(*args):
        add(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(server.store, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        server.plane.run(operation.name)
    assert len(server.kept()) == 1
    make_server().plane.cancel_operation(operation.name)
    assert server.kept() == set()


def test_an_upload_done_twice_is_done_once(server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document, model_id="fraud")
    server.plane.run(operation.name)
    server.plane.run(operation.name)
    assert len(server.plane.versions(FRAUD, ALL).items) == 1
    assert server.store.path(server.plane.model(FRAUD).artifact).exists()


def test_equal_files_are_kept_until_the_last_version_with_them_is_gone(server):
    for id_ in ("fraud", "other"):
        server.upload(id_, artifactUri=str(server.artifact(0)))
    server.plane.delete_model(FRAUD)
    server.settle()
    server.store.verify(server.plane.model(HERE.child("models", "other")).artifact)


def test_an_artifact_that_is_deleted_while_an_equal_one_is_uploaded_is_copied_again(server, monkeypatch):
    server.upload("fraud", artifactUri=str(server.artifact(0)))
    add = server.store.add

    def interrupted(*args):
        artifact = add(*args)
        monkeypatch.setattr(server.store, "add", add)
        server.plane.delete_model(FRAUD)
        server.serve()
        for name in server.plane.pending():
            server.plane.run(name)
        return artifact

    monkeypatch.setattr(server.store, "add", interrupted)
    server.store.verify(server.upload("other", artifactUri=str(server.artifact(0))).artifact)


def test_a_copy_that_is_under_way_is_cut_short(server, monkeypatch):
    add = server.store.add
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document)

    def cancelled(*args):
        server.plane.cancel_operation(operation.name)
        return add(*args)

    monkeypatch.setattr(server.store, "add", cancelled)
    server.work()
    assert server.failed(operation).code == Code.CANCELLED.value
    assert server.kept() == set()


def test_a_deleted_model_takes_its_artifacts_along(server):
    server.upload("fraud")
    server.upload("fraud")
    operation = server.plane.delete_model(FRAUD)
    with pytest.raises(NotFound):
        server.plane.model(FRAUD)
    server.settle()
    assert server.done(operation) == {}
    assert server.kept() == set()


def test_artifacts_stay_until_no_machine_serves_them(server, endpoint):
    id_ = server.deploy(endpoint)
    server.plane.undeploy(endpoint, id_)
    operation = server.plane.delete_model(FRAUD)
    server.work()
    assert len(server.kept()) == 1
    assert not server.plane.operation(operation.name).done
    server.settle()
    assert server.kept() == set()
    server.done(operation)


@pytest.mark.parametrize("source", ["model", "./model", "../model", "~/model", "file:model"])
def test_a_relative_path_is_refused(server, source):
    """It would be relative to wherever the server was started."""
    with pytest.raises(InvalidArgument, match=r"model\.artifactUri: expected an absolute path or URI; got"):
        server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": source})


def test_artifacts_come_only_from_the_folders_that_are_set(make_server, tmp_path):
    server = make_server()
    server.store = ArtifactStore(tmp_path / "artifacts", folders=[tmp_path / "models"])
    server.start()
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": str(server.artifact())})
    server.work()
    assert "(artifacts.folders)" in server.failed(operation).message


@pytest.mark.parametrize("image", ["", "us-docker.pkg.dev/vertex-ai/prediction/xgboost-cpu.2-1:latest"])
def test_what_is_no_model_is_not_told_the_names_of_files(server, image):
    folder = server.folder / "etc"
    folder.mkdir()
    (folder / "passwords.txt").write_text("secret")
    document = {"displayName": "m", "artifactUri": str(folder), "containerSpec": {"imageUri": image}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    said = server.failed(operation).message
    assert "passwords" not in said
    assert image or "name its framework: FRAMEWORK:PATH, --framework or trivet.framework" in said
