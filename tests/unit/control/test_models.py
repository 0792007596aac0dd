import pytest

from tests.unit.control.conftest import ALL, FRAUD, HERE
from trivet.core.errors import (
    Aborted,
    AlreadyExists,
    Code,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from trivet.core.resources import Query


def test_an_upload_makes_a_model(server):
    source = str(server.artifact())
    document = {
        "displayName": "Fraud",
        "description": "d",
        "labels": {"team": "a"},
        "artifactUri": source,
        "versionAliases": ["champion"],
        "etag": "x",
        "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"],
    }
    operation = server.plane.upload_model(HERE, document, model_id="fraud", api="v1beta1")
    assert operation.api == "v1beta1"
    assert not operation.done
    with pytest.raises(NotFound):
        server.plane.model(FRAUD)
    server.work()
    assert server.done(operation) == {"model": str(FRAUD), "modelVersionId": "1"}
    version = server.plane.model(FRAUD)
    assert (version.name, version.version, version.display_name) == (FRAUD, "1", "Fraud")
    assert version.aliases == ("champion", "default")
    assert version.labels == {"team": "a"}
    assert version.document == {"description": "d", "artifactUri": source}
    assert version.framework == "python"
    assert (server.store.path(version.artifact) / "predictor.py").exists()


def test_an_id_is_given_where_none_is_chosen(server):
    assert server.upload().name.id.isdigit()


def test_versions_count_on_and_leave_the_default_where_it_is(server):
    server.upload("fraud", versionAliases=["champion"])
    second = server.upload("fraud", versionAliases=["champion"])
    assert (second.version, second.aliases) == ("2", ("champion",))
    third = server.upload("fraud", versionAliases=["default"])
    assert server.plane.model(FRAUD).version == third.version == "3"
    assert server.plane.model(FRAUD.at("champion")).version == "2"
    assert [one.version for one in server.plane.versions(FRAUD, ALL).items] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"displayName": ""}, "model.displayName: required"),
        ({"displayName": "x" * 129}, "model.displayName: expected a text of at most 128 characters"),
        ({"description": 7}, "model.description: expected a text"),
        ({"labels": {"Team": "a"}}, "model.labels: key 'Team'"),
        ({"labels": {"team": "A"}}, r"model.labels\['team'\]"),
        ({"labels": {f"k{number}": "" for number in range(65)}}, "at most 64 labels; got 65"),
        ({"versionAliases": ["Champion"]}, "alias 'Champion'"),
        ({"versionAliases": ["7"]}, "alias '7'"),
        ({"artifactUri": ""}, "model.artifactUri: required"),
        ({"trivet": {"framework": "onyx"}}, "framework 'onyx'"),
        ({"trivet": {"placement": "moon"}}, "model.trivet.placement: Invalid enum value 'moon'"),
    ],
)
def test_uploads_that_are_refused(server, fields, message):
    document = {"displayName": "m", "artifactUri": str(server.artifact()), **fields}
    with pytest.raises(InvalidArgument, match=message):
        server.plane.upload_model(HERE, document)
    assert server.plane.pending() == []


@pytest.mark.parametrize("id_", ["Fraud", "-a", "a-", "a" * 64, "a/b", "a.b"])
def test_ids_that_google_would_not_take(server, id_):
    with pytest.raises(InvalidArgument, match="modelId"):
        server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": "/x"}, model_id=id_)


def test_a_runtime_without_files_needs_none(server):
    document = {"displayName": "echo", "trivet": {"framework": "echo"}}
    operation = server.plane.upload_model(HERE, document, model_id="echo")
    server.work()
    server.done(operation)
    version = server.plane.model(HERE.child("models", "echo"))
    assert (version.framework, version.artifact) == ("echo", None)


def test_an_id_is_taken_once(server):
    server.upload("fraud")
    with pytest.raises(AlreadyExists, match=r"models/fraud exists; upload a version of it with parentModel"):
        server.plane.upload_model(HERE, {"displayName": "m", "artifactUri": "/x"}, model_id="fraud")


def test_of_two_uploads_that_want_an_id_the_first_gets_it(server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    first, second = (server.plane.upload_model(HERE, document, model_id="fraud") for _ in range(2))
    server.work()
    server.done(first)
    assert server.failed(second).code == Code.ALREADY_EXISTS.value
    assert server.kept() == {server.plane.model(FRAUD).artifact.key}


def test_a_parent_must_be_there_when_the_upload_begins_and_ends(server):
    document = {"displayName": "m", "artifactUri": str(server.artifact())}
    with pytest.raises(NotFound, match="models/fraud"):
        server.plane.upload_model(HERE, document, parent_model=str(FRAUD))
    server.upload("fraud")
    upload = server.plane.upload_model(HERE, document, parent_model=str(FRAUD))
    server.plane.delete_model(FRAUD)
    server.settle()
    assert server.failed(upload).code == Code.NOT_FOUND.value
    assert server.kept() == set()


def test_fields_are_changed_by_mask(server):
    version = server.upload("fraud", description="old", labels={"team": "a"})
    changes = {
        "displayName": "new",
        "description": "new",
        "versionDescription": "new",
        "labels": {"team": "b"},
        "artifactUri": "other",
    }
    server.plane.update_model(FRAUD, changes, ["display_name", "labels"])
    changed = server.plane.model(FRAUD)
    assert (changed.display_name, changed.labels) == ("new", {"team": "b"})
    assert changed.document == version.document
    assert changed.etag != version.etag
    assert server.plane.update_model(FRAUD, changes, ["display_name"]).etag == changed.etag
    server.plane.update_model(FRAUD, changes, [])
    assert server.plane.model(FRAUD).document == {
        **version.document,
        "description": "new",
        "versionDescription": "new",
    }
    server.plane.update_model(FRAUD, {}, ["description"])
    assert "description" not in server.plane.model(FRAUD).document


def test_a_label_is_changed_by_its_path(server):
    server.upload("fraud", labels={"team": "a", "tier": "1"})
    server.plane.update_model(FRAUD, {"labels": {"team": "b"}}, ["labels.team"])
    assert server.plane.model(FRAUD).labels == {"team": "b", "tier": "1"}


@pytest.mark.parametrize(
    ("changes", "mask", "message"),
    [
        ({"artifactUri": "x"}, ["artifactUri"], "updateMask: model.artifactUri cannot be changed; what can"),
        ({"displayName": ""}, ["displayName"], "model.displayName: required"),
        ({"trivet": {"framework": "onnx"}}, ["trivet"], "model.trivet.framework: it cannot be changed"),
    ],
)
def test_changes_that_are_refused(server, changes, mask, message):
    server.upload("fraud")
    with pytest.raises(InvalidArgument, match=message):
        server.plane.update_model(FRAUD, changes, mask)


def test_a_change_of_what_somebody_else_has_changed_is_aborted(server):
    etag = server.upload("fraud").etag
    server.plane.update_model(FRAUD, {"displayName": "theirs", "etag": etag}, ["displayName"])
    with pytest.raises(Aborted):
        server.plane.update_model(FRAUD, {"displayName": "mine", "etag": etag}, ["displayName"])


def test_the_name_that_predictions_give_follows(server, endpoint):
    server.deploy(endpoint)
    before = server.plane.revision()
    server.plane.update_model(FRAUD, {"displayName": "new"}, ["displayName"])
    assert server.plane.revision() > before
    assert server.plane.wish().models[0].display_name == "new"


def test_aliases_move(server):
    server.upload("fraud", versionAliases=["champion"])
    server.upload("fraud")
    moved = server.plane.merge_aliases(FRAUD.at("2"), ["champion", "blue", "default"])
    assert set(moved.aliases) == {"champion", "blue", "default"}
    assert server.plane.model(FRAUD.at("1")).aliases == ()
    assert server.plane.model(FRAUD).version == "2"
    assert set(server.plane.merge_aliases(FRAUD, ["-blue", "-unknown"]).aliases) == {"champion", "default"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-default"], "default cannot be taken away"),
        (["blue", "-blue"], "blue: both given and taken away"),
        (["Blue"], "alias 'Blue'"),
        (["b"], "alias 'b'"),
        (["b" * 129], "expected 2 to 128"),
    ],
)
def test_aliases_that_are_refused(server, given, message):
    server.upload("fraud")
    with pytest.raises(InvalidArgument, match=message):
        server.plane.merge_aliases(FRAUD, given)


def test_a_copy_is_a_model_of_its_own(server):
    original = server.upload("fraud", labels={"team": "a"}, description="d", versionAliases=["champion"])
    operation = server.plane.copy_model(HERE, FRAUD, model_id="copy")
    assert server.done(operation)["modelVersionId"] == "1"
    copy = server.plane.model(HERE.child("models", "copy"))
    assert (copy.labels, copy.document) == (original.labels, original.document)
    assert copy.aliases == ("default",)
    with pytest.raises(AlreadyExists):
        server.plane.copy_model(HERE, FRAUD, model_id="copy")
    server.plane.delete_model(FRAUD)
    server.settle()
    server.store.verify(copy.artifact)
    server.plane.delete_model(copy.name)
    server.settle()
    assert server.kept() == set()


def test_a_copy_may_be_a_version_of_another_model(server):
    server.upload("fraud")
    other = server.upload("other").name
    operation = server.plane.copy_model(HERE, FRAUD, parent_model=str(other))
    assert server.done(operation) == {"model": str(other), "modelVersionId": "2"}
    assert server.plane.model(other).version == "1"


def test_what_is_in_use_is_not_deleted(server, endpoint):
    server.upload("fraud")
    server.begin(endpoint, model=str(FRAUD.at("2")))
    for delete, name in ((server.plane.delete_model, FRAUD), (server.plane.delete_version, FRAUD.at("2"))):
        with pytest.raises(FailedPrecondition) as refused:
            delete(name)
        assert "is deployed or being deployed at the following Endpoint(s)" in str(refused.value)
        assert f'["{endpoint}"]' in str(refused.value)


def test_a_version_is_deleted_alone(server):
    server.upload("fraud", versionAliases=["champion"])
    with pytest.raises(FailedPrecondition, match="the only version of its model"):
        server.plane.delete_version(FRAUD.at("1"))
    server.upload("fraud")
    with pytest.raises(FailedPrecondition, match="is the default version; give the alias default to another"):
        server.plane.delete_version(FRAUD.at("1"))
    with pytest.raises(InvalidArgument, match="expected a version"):
        server.plane.delete_version(FRAUD)
    with pytest.raises(InvalidArgument, match="a model is deleted whole"):
        server.plane.delete_model(FRAUD.at("2"))
    operation = server.plane.delete_version(FRAUD.at("2"))
    server.settle()
    server.done(operation)
    assert server.kept() == {server.plane.model(FRAUD).artifact.key}
    assert server.upload("fraud").version == "3"


def test_lists_are_of_default_versions(server):
    server.upload("fraud")
    server.upload("fraud", versionAliases=["default"], displayName="newer")
    server.upload("other")
    page = server.plane.models(HERE, Query(filter='display_name="newer"'))
    assert [(one.name, one.version) for one in page.items] == [(FRAUD, "2")]


def test_versions_are_listed_by_query(server):
    for number, team in enumerate("abab", 1):
        server.upload("fraud", labels={"team": team}, displayName=f"v{number}")

    def listed(**query):
        page = server.plane.versions(FRAUD, Query(**query))
        return [one.version for one in page.items], page.next_page_token

    assert listed(filter="labels.team=a") == (["1", "3"], "")
    assert listed(filter='labels.team=a AND NOT display_name="v1"') == (["3"], "")
    assert listed(filter="labels.none=a") == ([], "")
    assert listed(
        filter="display_name:v* AND (display_name>=v2 OR version_id=1)", order_by="version_id desc"
    ) == (
        ["4", "3", "2", "1"],
        "",
    )
    first, token = listed(page_size=3)
    assert first == ["1", "2", "3"]
    assert listed(page_size=3, page_token=token) == (["4"], "")
    with pytest.raises(InvalidArgument, match="pageToken"):
        listed(page_token=token, filter="labels.team=a")
    with pytest.raises(InvalidArgument, match="pageToken"):
        listed(page_token="é")
    with pytest.raises(InvalidArgument, match="pageSize"):
        listed(page_size=-1)
    with pytest.raises(InvalidArgument, match="unknown field"):
        listed(filter="x=1")


def test_an_etag_outlasts_what_no_update_changes(server, endpoint):
    """Google's SDK sends the etag that it has seen, without looking again after it has moved an alias."""
    server.upload("fraud")
    seen = server.plane.model(FRAUD.at("1"))
    server.plane.merge_aliases(FRAUD.at("1"), ["prod"])
    server.plane.merge_aliases(FRAUD.at("2"), ["prod", "default"])
    server.deploy(endpoint)
    changes = {"labels": {"team": "a"}, "etag": seen.etag}
    changed = server.plane.update_model(FRAUD.at("1"), changes, ["labels"])
    assert changed.etag != seen.etag
    with pytest.raises(Aborted):
        server.plane.update_model(FRAUD.at("1"), {**changes, "labels": {}}, ["labels"])
