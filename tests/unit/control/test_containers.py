"""Models with a container of their own: uploaded, copied, deployed, deleted."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE, PREDICTOR
from trivet.containers import registry
from trivet.containers.base import Prepared
from trivet.control.containers import At, container_spec, unmanaged_spec
from trivet.control.settings import OwnContainers
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from trivet.core.resources import Image


def application(server, name="app", **files):
    folder = server.folder / name
    folder.mkdir()
    for file, text in {"Dockerfile": "FROM python:3.13\n", "main.py": "pass\n", **files}.items():
        (folder / file).write_text(text)
    return folder


def upload(server, folder, model_id="fraud", **fields):
    spec = {"imageUri": str(folder), **fields.pop("spec", {})}
    return server.upload(model_id, **{"artifactUri": None, "containerSpec": spec, **fields})


class Engine:
    """An engine that knows images by their ids."""

    name = "podman"

    def __init__(self, **ids):
        self.ids = ids
        self.prepared = []

    def lacks(self):
        return ""

    def prepare(self, spec, says):
        says("pulling")
        self.prepared.append(spec)
        if spec.image not in self.ids:
            raise NotFound(f"{spec.image}: there is no such image")
        return Prepared(image=self.ids[spec.image])


@pytest.fixture
def engine(monkeypatch):
    made = Engine(mine="sha256:1234")
    monkeypatch.setattr(registry, "choose", lambda spec: made)
    return made


def test_a_folder_is_taken_as_it_is_at_the_upload(server):
    folder = application(server)
    version = upload(server, folder)
    (folder / "main.py").write_text("changed\n")
    assert (version.framework, version.artifact) == ("container", None)
    assert version.image.folder.source == str(folder)
    kept = server.store.path(version.image.folder)
    assert (kept / "main.py").read_text() == "pass\n"
    assert server.kept() == {version.image.folder.key}


def test_what_is_ignored_is_not_copied_and_programs_stay_programs(server):
    files = {".dockerignore": "*.csv\n", "big.csv": "1", "start.sh": "#!/bin/sh\n"}
    folder = application(server, **files)
    kept = server.store.path(upload(server, folder).image.folder)
    assert sorted(one.name for one in kept.iterdir()) == [
        ".dockerignore",
        "Dockerfile",
        "main.py",
        "start.sh",
    ]
    assert (kept / "start.sh").stat().st_mode & 0o777 == 0o555
    assert (kept / "main.py").stat().st_mode & 0o777 == 0o444


def test_a_model_whose_files_are_an_application_is_copied_without_what_is_ignored(server):
    folder = application(server, **{".dockerignore": "*.csv\n", "big.csv": "1"})
    done = server.upload("app", artifactUri=str(folder))
    assert (done.framework, done.image) == ("container", None)
    kept = server.store.path(done.artifact)
    assert sorted(one.name for one in kept.iterdir()) == [".dockerignore", "Dockerfile", "main.py"]


def test_a_folder_that_says_nothing_of_how_it_starts_is_refused(server):
    folder = server.folder / "app"
    folder.mkdir()
    (folder / "main.py").write_text("pass\n")
    document = {"displayName": "m", "containerSpec": {"imageUri": str(folder)}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    assert "says nothing of how to start the application" in server.failed(operation).message
    assert server.kept() == set()
    assert upload(server, folder, spec={"command": ["python", "main.py"]}).image.folder


def test_a_folder_that_is_not_there_fails_the_upload_and_leaves_nothing(server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    document |= {"containerSpec": {"imageUri": "/nowhere/app"}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    assert "/nowhere/app: there is no such file or folder" in server.failed(operation).message
    assert server.kept() == set()


def test_a_cancelled_upload_leaves_neither_copy(server, monkeypatch):
    folder = application(server)
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    document |= {"containerSpec": {"imageUri": str(folder)}}
    operation = server.plane.upload_model(HERE, document)
    add = server.store.add_application

    def cancelled(*args):
        copy = add(*args)
        server.plane.cancel_operation(operation.name)
        return copy

    monkeypatch.setattr(server.store, "add_application", cancelled)
    server.plane.run(operation.name)
    assert server.failed(operation).message
    assert server.kept() == set()


def test_an_upload_that_was_interrupted_begins_anew(server, monkeypatch):
    folder = application(server)
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    document |= {"containerSpec": {"imageUri": str(folder)}}
    operation = server.plane.upload_model(HERE, document)
    add = server.store.add_application

    def interrupted(*args):
        add(*args)
        raise KeyboardInterrupt  # as good as the end of the process

    monkeypatch.setattr(server.store, "add_application", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.plane.run(operation.name)
    monkeypatch.undo()
    assert len(server.kept()) == 2
    server.work()
    assert server.done(operation)
    assert len(server.kept()) == 2


def test_versions_share_a_folder_which_goes_with_the_last(server):
    folder = application(server)
    first = upload(server, folder, spec={"env": [{"name": "MODULE_NAME", "value": "main"}]})
    second = upload(server, folder, spec={"env": [{"name": "MODULE_NAME", "value": "main2"}]})
    assert first.image == second.image
    assert first.document != second.document
    server.plane.delete_version(FRAUD.at("2"))
    server.work()
    assert server.kept() == {first.image.folder.key}
    server.plane.delete_model(FRAUD)
    server.work()
    assert server.kept() == set()


def test_a_folder_may_be_a_models_artifact_elsewhere(server):
    """One copy in the store, which two versions need for different things."""
    folder = application(server, **{"predictor.py": PREDICTOR})
    own = upload(server, folder)
    other = server.upload("other", artifactUri=str(folder), trivet={"framework": "python"})
    assert own.image.folder.key == other.artifact.key
    server.plane.delete_model(FRAUD)
    server.work()
    assert server.store.path(other.artifact).is_dir()


def test_a_copy_shares_the_image(server):
    version = upload(server, application(server))
    server.plane.copy_model(HERE, FRAUD, model_id="copy")
    copy = server.plane.model(HERE.child("models", "copy"))
    assert copy.image == version.image


def test_a_folder_stands_for_an_image(make_server):
    server = make_server()
    folder = application(server)
    server = make_server(containers=OwnContainers(images={"us-docker.pkg.dev/p/r/fraud": str(folder)}))
    version = upload(server, "us-docker.pkg.dev/p/r/fraud")
    assert version.image.folder.source == str(folder)
    assert version.document["containerSpec"]["imageUri"] == "us-docker.pkg.dev/p/r/fraud"


def test_a_caller_is_not_told_which_folder_stands_for_an_image(make_server):
    server = make_server(containers=OwnContainers(images={"mine": "/nowhere/app"}))
    document = {"displayName": "m", "containerSpec": {"imageUri": "mine"}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    assert server.failed(operation).message == "mine: there is no such file or folder"


def test_an_image_is_resolved_once(server, engine):
    version = upload(server, "mine")
    assert version.image == Image(id="sha256:1234")
    engine.ids["mine"] = "sha256:5678"
    assert container_spec(version, server.store, OwnContainers()).image == "sha256:1234"
    assert len(engine.prepared) == 1


def test_an_image_that_there_is_not_fails_the_upload(server, engine):
    document = {"displayName": "m", "containerSpec": {"imageUri": "other"}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    assert server.failed(operation).message == "other: there is no such image"


def test_where_no_engine_is_an_image_is_refused_with_the_way_out(server, monkeypatch):
    def none(spec):
        raise FailedPrecondition("no engine can run this container")

    monkeypatch.setattr(registry, "choose", none)
    document = {"displayName": "m", "containerSpec": {"imageUri": "mine"}}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    said = server.failed(operation).message
    assert said.startswith("model.containerSpec.imageUri 'mine': no engine can run this container")
    assert said.endswith("or have a folder stand for it by containers.images")


@pytest.mark.parametrize(
    "image", ["./app", "../app", "My Image", "-v", "a//b", "a:b:c", "mine@sha256:12", ""]
)
def test_what_can_be_no_image_is_refused_at_once(server, image):
    with pytest.raises(InvalidArgument, match=r"model\.(containerSpec\.imageUri|artifactUri)"):
        server.plane.upload_model(HERE, {"displayName": "m", "containerSpec": {"imageUri": image}})


def test_containers_that_are_not_allowed_are_not_even_copied(make_server):
    server = make_server(containers=OwnContainers(allowed=False))
    with pytest.raises(PermissionDenied, match=r"artifacts\.allow_containers"):
        upload(server, application(server))
    assert server.plane.models(HERE, ALL).items == []


def test_a_deployment_gives_routes_and_variables(server):
    upload(server, application(server), artifactUri=str(server.artifact()))
    machine = {"machineType": "n1-standard-4", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1}
    endpoint = server.endpoint("scoring")
    id_ = server.deploy(endpoint, dedicatedResources={"machineSpec": machine, "minReplicaCount": 1})
    [spec] = server.plane.wish().models
    version = server.plane.model(FRAUD)
    assert spec.framework == "container"
    assert spec.limits.max_rows == 1
    assert spec.path == server.store.path(version.artifact)
    assert spec.container.folder == server.store.path(version.image.folder)
    assert spec.container.artifact_uri == f"gs://trivet-models/{version.artifact.digest}"
    assert spec.container.health_route == f"/v1/endpoints/scoring/deployedModels/{id_}"
    assert spec.container.predict_route == f"/v1/endpoints/scoring/deployedModels/{id_}:predict"
    assert dict(spec.container.about) == {
        "AIP_PROJECT_NUMBER": "local",
        "AIP_ENDPOINT_ID": "scoring",
        "AIP_DEPLOYED_MODEL_ID": id_,
        "AIP_MODEL_NAME": "scoring",
        "AIP_VERSION_NAME": id_,
        "AIP_MACHINE_TYPE": "n1-standard-4",
        "AIP_ACCELERATOR_TYPE": "NVIDIA_L4",
    }


def test_the_files_of_a_model_may_be_its_application(server):
    version = server.upload("fraud", artifactUri=str(application(server)))
    assert (version.framework, version.image) == ("container", None)
    server.deploy(server.endpoint("scoring"))
    [spec] = server.plane.wish().models
    assert spec.container.folder == spec.path == server.store.path(version.artifact)
    assert (spec.container.artifact_uri, spec.container.called) == ("", "fraud@1")


def test_each_deployment_of_a_version_has_routes_of_its_own(server):
    upload(server, application(server))
    endpoint = server.endpoint("scoring")
    server.deploy(endpoint)
    server.deploy(endpoint)
    one, other = server.plane.wish().models
    assert one.container.predict_route != other.container.predict_route
    assert one.container.folder == other.container.folder


def test_the_machine_of_a_pool_counts_where_the_operator_wants_that(make_server):
    server = make_server(containers=OwnContainers(limited=True))
    upload(server, application(server), spec={"sharedMemorySizeMb": "64"})
    resources = {"machineSpec": {"machineType": "n1-highcpu-2"}, "minReplicaCount": 1}
    server.plane.create_pool(HERE, "pool", {"dedicatedResources": resources})
    pool = str(HERE.child("deploymentResourcePools", "pool"))
    server.deploy(server.endpoint("scoring"), sharedResources=pool)
    [spec] = server.plane.wish().models
    assert spec.container.resources == Resources(cpus=2, memory=int(1.8 * 2**30), shared_memory=64 << 20)


def test_rows_are_merged_where_somebody_wants_that(server):
    upload(server, application(server), trivet={"maxRows": 16})
    server.deploy(server.endpoint("scoring"))
    assert server.plane.wish().models[0].limits.max_rows == 16


def test_a_folder_that_is_gone_is_that_models_trouble_alone(server):
    version = upload(server, application(server))
    server.upload("other")
    endpoint = server.endpoint("scoring")
    server.deploy(endpoint)
    server.deploy(endpoint, model=str(HERE.child("models", "other")))
    server.store.remove(version.image.folder)
    own, other = server.plane.wish().models
    assert not own.container.folder.exists()
    assert other.path.exists()


def test_the_settings_fill_in_what_the_model_leaves_open(server):
    version = upload(server, application(server))
    cache = Path("/cache")
    settings = OwnContainers(engine="process", cache=cache, concurrency=3, start_timeout=7, timeout=9)
    spec = container_spec(version, server.store, settings)
    assert (spec.engine, spec.cache, spec.concurrency) == ("process", Path("/cache"), 3)
    assert (spec.start_timeout, spec.timeout) == (7, 9)
    assert spec.predict_route == "/v1/endpoints/0/deployedModels/0:predict"
    assert dict(spec.about) == {"AIP_PROJECT_NUMBER": "local"}
    slow = replace(version, document={"containerSpec": {"deploymentTimeout": "90s", "predictRoute": "/p"}})
    spec = container_spec(slow, server.store, settings, At("p", "e", "d"))
    assert (spec.start_timeout, spec.predict_route) == (90, "/p")
    assert spec.health_route == "/v1/endpoints/e/deployedModels/d"


def test_a_prefix_takes_the_place_of_the_predict_route(server):
    version = upload(server, application(server), spec={"invokeRoutePrefix": "/*"})
    spec = container_spec(version, server.store, OwnContainers())
    assert (spec.predict_route, spec.invoke_prefix) == ("", "/")


@pytest.mark.parametrize(
    ("source", "uri"),
    [("gs://b/m", "gs://b/m"), ("gs://b/m/", "gs://b/m"), ("gs://b/m/predictor.py", "gs://b/m")],
)
def test_files_are_seen_in_the_bucket_that_they_are_from(server, source, uri):
    """The folder, also where a single file was named: what reads the variable lists what is below it."""
    version = upload(server, application(server), artifactUri=str(server.artifact()))
    version = replace(version, artifact=replace(version.artifact, source=source))
    assert container_spec(version, server.store, OwnContainers()).artifact_uri == uri


def test_a_version_without_a_container_has_none(server):
    assert container_spec(server.upload("fraud"), server.store, OwnContainers()) is None


def test_a_model_of_no_catalog_is_run_from_where_its_application_is(server, engine):
    folder = application(server)
    document = {"containerSpec": {"imageUri": str(folder), "predictRoute": "/predict"}}
    spec = unmanaged_spec(document, OwnContainers(start_timeout=5), Path, "s3://b/model")
    assert (spec.image, spec.folder, spec.predict_route) == ("", folder, "/predict")
    assert (spec.artifact_uri, spec.start_timeout) == ("gs://trivet-models/model", 5)
    named = unmanaged_spec({"containerSpec": {"imageUri": "mine"}}, OwnContainers(), Path, "")
    assert (named.image, named.folder, named.artifact_uri) == ("sha256:1234", None, "")
    with pytest.raises(PermissionDenied):
        unmanaged_spec(document, OwnContainers(allowed=False), Path, "")


def test_the_contract_of_a_wish_is_the_same_each_time(server):
    """Otherwise a replica would be started anew for nothing."""
    upload(server, application(server))
    server.deploy(server.endpoint("scoring"))
    [first], [second] = server.plane.wish().models, server.plane.wish().models
    assert first == second
    assert isinstance(first.container, ContainerSpec)
