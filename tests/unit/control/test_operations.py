from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.control import choice
from trivet.control.plane import ControlPlane, ControlSettings
from trivet.core.errors import Code, FailedPrecondition, NotFound
from trivet.core.resources import Failure, Query


def test_operations_are_listed_and_forgotten(server, endpoint):
    page = server.plane.operations(HERE, ALL)
    assert {one.kind for one in page.items} == {"uploadModel", "createEndpoint"}
    operation = server.begin(endpoint)
    assert operation.name.collection == "operations"
    assert operation.target == str(endpoint)
    with pytest.raises(FailedPrecondition, match="is not done yet"):
        server.plane.delete_operation(operation.name)
    server.settle()
    server.plane.delete_operation(operation.name)
    for call in (server.plane.operation, server.plane.delete_operation, server.plane.cancel_operation):
        with pytest.raises(NotFound):
            call(operation.name)


def test_who_waits_is_told_of_changes(server, endpoint):
    before = server.nudges
    operation = server.begin(endpoint)
    assert server.nudges > before
    before = server.nudges
    server.serve()
    assert server.nudges > before
    server.serve()
    server.done(operation)
    before = server.nudges
    server.serve()
    assert server.nudges == before, "nothing has changed"


def test_a_machine_that_has_begun_anew_serves_nothing_yet(server, make_server, endpoint):
    server.deploy(endpoint)
    revision = server.plane.revision()
    assert server.plane.reached(revision)
    again = make_server()
    assert not again.plane.reached(revision)
    assert again.plane.wish().models == server.plane.wish().models
    again.serve()
    assert again.plane.reached(revision)


def test_every_machine_must_have_loaded_it(server, make_server, endpoint):
    other = make_server("other")
    other.serve()
    operation = server.begin(endpoint)
    server.serve()
    assert server.deployed(endpoint) == {}
    other.serve()
    assert len(server.deployed(endpoint)) == 1
    other.serve()
    assert not server.plane.operation(operation.name).done
    server.serve()
    server.done(operation)


def test_a_failure_on_one_machine_is_enough(server, make_server, endpoint):
    other = make_server("other")
    operation = server.begin(endpoint, id="7")
    other.serve(d7="no such library")
    assert server.failed(operation) == Failure(9, "no such library")


def test_a_machine_that_is_gone_is_not_waited_for(server, make_server, endpoint):
    other = make_server("other")
    other.serve()
    operation = server.begin(endpoint)
    server.serve()
    assert server.deployed(endpoint) == {}
    server.clock.later(11)
    server.serve()
    server.serve()
    server.done(operation)


def test_this_machine_is_always_waited_for(server, endpoint):
    revision = server.plane.revision()
    server.serve()
    server.clock.later(11)
    server.begin(endpoint)
    assert not server.plane.reached(revision + 1)


def test_artifacts_are_copied_by_the_machine_that_was_asked(server, make_server):
    other = make_server("other")
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": str(server.artifact())})
    assert other.plane.pending() == []
    assert server.plane.pending() == [operation.name]


def test_an_upload_that_a_crash_interrupted_starts_over(server, make_server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document, model_id="fraud")
    server.store.add(document["artifactUri"])
    again = make_server()
    again.work()
    again.done(operation)
    again.store.verify(again.plane.model(FRAUD).artifact)


def test_a_deployment_survives_crashes(server, make_server, endpoint):
    operation = server.begin(endpoint)
    for _ in range(2):
        server = make_server()
        assert not server.plane.operation(operation.name).done
        server.serve()
    server.done(operation)


def test_what_nobody_foresaw_fails_the_operation_and_nothing_else(server, monkeypatch, caplog):
    def broken(*_args, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(choice, "find", broken)
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    operation = server.plane.upload_model(HERE, document)
    server.work()
    assert server.kept() == set()
    assert server.failed(operation).code == Code.INTERNAL.value
    assert "a bug" in caplog.text


def test_a_full_disk_is_told(server, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device", "/data/artifacts")

    monkeypatch.setattr(server.store, "add", full)
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": "/x"})
    server.work()
    assert server.failed(operation) == Failure(13, "/data/artifacts: No space left on device")


def test_finished_operations_do_not_keep_what_was_asked_and_go_in_time(server, endpoint):
    operation = server.begin(endpoint)
    server.settle()
    server.done(operation)
    page = server.plane.operations(HERE, ALL)
    assert {(one.kind, len(one.request)) for one in page.items} == {
        ("uploadModel", 0), ("createEndpoint", 0), ("deployModel", 0),
    }  # fmt: skip
    unfinished = server.begin(endpoint)
    server.clock.now = datetime.now(UTC) + timedelta(days=8)
    for _ in range(64):
        server.endpoint()
    names = {one.name for one in server.plane.operations(HERE, Query(page_size=1000)).items}
    assert not names & {one.name for one in page.items}
    assert unfinished.name in names


def test_an_upload_is_taken_over_from_a_machine_that_is_gone(server, make_server):
    other = make_server("other")
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": str(server.artifact())})
    server.clock.later(59)
    assert other.plane.pending() == []
    other.serve()
    server.clock.later(1)
    assert other.plane.pending() == [operation.name]
    assert server.plane.pending() == []
    other.work()
    other.done(operation)


def test_an_upload_is_left_to_a_process_that_is_known_to_live(make_server):
    """Such as one that does not serve, and is therefore never heard of as a machine."""
    alive = {"tool"}
    server = make_server(alive=alive.__contains__)
    tool = ControlPlane(server.catalog, server.store, ControlSettings("tool", serves=False))
    upload = tool.upload_model(HERE, {"displayName": "x", "artifactUri": str(server.artifact())})
    assert server.plane.pending() == []
    alive.clear()
    assert server.plane.pending() == [upload.name]
    server.work()
    assert server.done(upload)["modelVersionId"] == "1"


def test_an_upload_that_is_attended_ends_with_its_process(make_server):
    known = {"tool": None}
    server = make_server(alive=known.get)
    tool = ControlPlane(server.catalog, server.store, ControlSettings("tool", serves=False))
    document = {"displayName": "x", "artifactUri": str(server.artifact())}
    upload = tool.upload_model(HERE, document, attended=True)
    assert server.plane.take_over() == []  # it may be on another machine
    known["tool"] = False
    assert server.plane.take_over() == [upload.name]
    assert server.plane.take_over() == []
    server.work()
    assert server.failed(upload).code == Code.CANCELLED.value
    assert server.kept() == set()
    known["tool"] = True
    upload = tool.upload_model(HERE, document, attended=True)
    assert server.plane.take_over() == []
    tool.run(upload.name)
    assert server.done(upload)["modelVersionId"] == "1"


def test_one_that_does_not_serve_deletes_what_no_machine_has(make_server):
    server = make_server(alive=lambda node: True)
    server.upload("fraud")
    tool = ControlPlane(server.catalog, server.store, ControlSettings("tool", serves=False))
    server.serve()
    with server.catalog.transaction() as tx:
        tx.bump()
    tool.run(tool.delete_model(FRAUD).name)
    assert len(server.kept()) == 1  # `server` may be loading it
    server.serve()
    server.work()
    assert server.kept() == set()
    server.upload("fraud")
    server.clock.later(server.settings.alive_within + 1)
    tool.run(tool.delete_model(FRAUD).name)
    assert server.kept() == set()


def test_both_who_carry_out_an_upload_that_was_taken_over_leave_one_version(server, make_server, monkeypatch):
    other = make_server("other")
    operation = server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": str(server.artifact())})
    add = server.store.add

    def overtaken(*args):
        artifact = add(*args)
        server.clock.later(61)
        other.work()
        return artifact

    monkeypatch.setattr(server.store, "add", overtaken)
    server.plane.run(operation.name)
    assert server.done(operation)["modelVersionId"] == "1"
    (version,) = server.plane.models(HERE, ALL).items
    assert server.kept() == {version.artifact.key}
