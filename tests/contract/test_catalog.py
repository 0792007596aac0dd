"""What every database of a catalog must do: one resource at a time."""

import contextlib
from dataclasses import replace

import pytest

from tests.contract.catalog_values import HERE, START, at, deployed, endpoint, model, operation, pool
from trivet.catalog import Catalog
from trivet.core.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from trivet.core.resources import Artifact, Failure, Image, Location, Node, Query

FIVE = HERE.child("models", "5")
FULL = "projects/acme/locations/us-central1"


class Undo(Exception):
    """A test has ended."""


@pytest.fixture(scope="module")
def shared(url_of_module):
    """Return a catalog that stays empty."""
    opened = Catalog(url_of_module)
    yield opened
    opened.close()


@pytest.fixture
def one(shared):
    """Return a transaction, in which all of a test happens, and which is rolled back."""
    with contextlib.suppress(Undo), shared.transaction() as transaction:
        yield transaction
        raise Undo


def add_versions(transaction, count):
    return [transaction.add_version(model()) for _ in range(count)]


def aliases(transaction):
    return {version.version: version.aliases for version in transaction.versions(FIVE)}


def test_a_model_comes_back_as_it_was_added(one):
    given = model(
        created=at(1),
        updated=at(2),
        labels={"team": "ä", "größe": "1"},
        aliases=("prod", "blue"),
        document={"description": "a\n'\"\\", "n": [1, 2.5, None, True], "deep": {"z": 1, "a": 2}},
        artifact=Artifact("key", "gs://b/m", "d1", 12, linked=True),
        framework="xgboost",
    )
    added = one.add_version(given)
    expected = replace(given, version="1", model_created=at(1), aliases=("blue", "default", "prod"))
    assert replace(added, etag="") == expected
    assert added.etag
    assert one.version(FIVE) == one.version(FIVE, "1") == one.version(FIVE, "default") == added
    assert one.version(FIVE.at("prod")) == added
    assert one.models(HERE, Query()).items == [added]


def test_versions_are_numbered_and_their_numbers_are_not_used_again(one):
    add_versions(one, 3)
    one.delete_version(FIVE, "3")
    one.add_version(model(created=at(9)))
    found = one.versions(FIVE)
    assert [version.version for version in found] == ["1", "2", "4"]
    assert {version.model_created for version in found} == {START}
    assert one.versions(FIVE.at("2")) == found


def test_aliases_move_and_touch_the_version_that_loses_one(one):
    first = one.add_version(model(aliases=("prod", "blue")))
    second = one.add_version(model(aliases=("prod",)))
    assert aliases(one) == {"1": ("blue", "default"), "2": ("prod",)}
    touched = one.version(FIVE, "1")
    assert touched.updated > first.updated
    assert touched.etag == first.etag
    one.put_version(replace(second, aliases=("default", "green")))
    assert aliases(one) == {"1": ("blue",), "2": ("default", "green")}
    third = one.add_version(model(aliases=("default",)))
    assert aliases(one) == {"1": ("blue",), "2": ("green",), "3": ("default",)}
    assert one.version(FIVE) == third
    assert [version.version for version in one.models(HERE, Query()).items] == ["3"]


def test_naming_a_version_moves_aliases_and_changes_no_etag(one):
    first, second = add_versions(one, 2)
    one.name_version(FIVE, "1", ("default", "prod"))
    named = one.name_version(FIVE, "2", ("default", "prod"))
    assert named == one.version(FIVE)
    assert aliases(one) == {"1": (), "2": ("default", "prod")}
    assert [version.etag for version in one.versions(FIVE)] == [first.etag, second.etag]
    assert named.updated > second.updated
    with pytest.raises(FailedPrecondition, match=r"models/5@2 holds the alias default"):
        one.name_version(FIVE, "2", ("prod",))
    with pytest.raises(NotFound):
        one.name_version(FIVE, "3", ("prod",))


def test_two_who_saw_the_same_version_cannot_both_change_it(one):
    seen = one.add_version(model())
    one.put_version(replace(seen, display_name="first"))
    with pytest.raises(Aborted, match=r"models/5@1 has been changed by somebody else"):
        one.put_version(replace(seen, display_name="second"))


def test_an_alias_belongs_to_one_model(one):
    one.add_version(model("5", aliases=("prod",)))
    one.add_version(model("6", aliases=("prod",)))
    assert one.version(FIVE, "prod").name.id == "5"


@pytest.mark.parametrize(
    "ref",
    ["2", "0", "01", "-1", "blue", "9" * 30, "\u0661"],
    ids=["2", "0", "01", "-1", "blue", "big", "arabic"],
)
def test_a_version_that_is_not_there_is_named(one, ref):
    one.add_version(model())
    with pytest.raises(NotFound) as error:
        one.version(FIVE, ref)
    assert str(error.value) == f"Model {FULL}/models/5@{ref} is not found."


def test_putting_a_version_replaces_what_may_change(one):
    stored = one.add_version(model(aliases=("prod",)))
    given = replace(
        stored, display_name="new", created=at(99), labels={"a": "b"}, document={"x": 1}, aliases=("default",)
    )
    put = one.put_version(given)
    assert put == one.version(FIVE)
    assert put.updated > stored.updated
    assert put.etag != stored.etag
    assert replace(put, updated=stored.updated, etag="") == replace(given, created=stored.created, etag="")


def test_the_default_stays_somewhere(one):
    first = add_versions(one, 2)[0]
    with pytest.raises(FailedPrecondition, match=r"models/5@1 holds the alias default"):
        one.put_version(replace(first, aliases=()))
    with pytest.raises(FailedPrecondition, match=r"models/5@1 holds the alias default"):
        one.delete_version(FIVE, "1")
    one.delete_version(FIVE, "2")
    with pytest.raises(FailedPrecondition, match=r"models/5@1 is the only version; delete the model"):
        one.delete_version(FIVE, "1")
    assert aliases(one) == {"1": ("default",)}


def test_deleting_takes_aliases_along(one):
    add_versions(one, 2)
    one.put_version(replace(one.version(FIVE, "2"), aliases=("blue",)))
    one.delete_version(FIVE, "blue")
    with pytest.raises(NotFound, match="@blue"):
        one.version(FIVE, "blue")
    one.delete_model(FIVE)
    for gone in (one.version, one.versions, one.delete_model):
        with pytest.raises(NotFound) as error:
            gone(FIVE)
        assert str(error.value) == f"Model {FULL}/models/5 is not found."
    assert one.add_version(model()).version == "1"


def test_an_artifact_is_used_as_long_as_a_version_has_it(one):
    one.add_version(model(artifact=Artifact("a", "s", "d", 1)))
    one.add_version(model())
    assert one.artifact_is_used("a")
    assert not one.artifact_is_used("b")
    one.delete_model(FIVE)
    assert not one.artifact_is_used("a")


def test_an_image_comes_back_and_its_folder_is_used_as_long_as_a_version_has_it(one):
    folder = Artifact("a", "s", "d", 1)
    for image in (Image(folder), Image(id="sha256:1"), None):
        added = one.add_version(model(image=image))
        assert added.image == image
        assert one.version(FIVE.at(added.version)).image == image
    assert one.artifact_is_used("a")
    assert one.put_version(replace(one.version(FIVE, "1"), display_name="other")).image == Image(folder)
    one.delete_model(FIVE)
    assert not one.artifact_is_used("a")


def test_an_endpoint_comes_back_as_it_was_added(one):
    given = endpoint(
        labels={"a": "b"},
        document={"dedicatedEndpointEnabled": True},
        traffic={"2": 60, "1": 40},
        deployed=(deployed("2", document={"x": 1}, state="READY"), deployed("1", pool="p")),
    )
    added = one.add_endpoint(given)
    assert replace(added, etag="") == given
    assert one.endpoint(given.name) == added
    assert one.endpoints(HERE, Query()).items == [added]


def test_putting_an_endpoint_replaces_its_deployed_models(one):
    stored = one.add_endpoint(endpoint(deployed=(deployed("1"), deployed("2"))))
    given = replace(stored, deployed=(deployed("3"), deployed("1", state="READY")), traffic={"1": 100})
    put = one.put_endpoint(given)
    assert replace(put, updated=stored.updated, etag=stored.etag) == given
    assert put.updated > stored.updated
    with pytest.raises(Aborted, match=rf"Endpoint {FULL}/endpoints/e has been changed by somebody else"):
        one.put_endpoint(given)
    assert one.endpoint(stored.name) == put


def test_what_is_deployed_changes_without_the_etag(one):
    stored = one.add_endpoint(endpoint(labels={"a": "b"}, deployed=(deployed("1"), deployed("2"))))
    given = replace(stored, deployed=(deployed("3"),), traffic={"3": 100}, etag="", labels={})
    put = one.redeploy(given)
    assert put == one.endpoint(stored.name)
    assert replace(put, updated=stored.updated) == replace(given, etag=stored.etag, labels=stored.labels)
    assert put.updated > stored.updated
    one.put_endpoint(replace(stored, display_name="as seen before"))
    with pytest.raises(NotFound):
        one.redeploy(endpoint("other"))


def test_the_versions_that_are_deployed_come_at_once(one):
    first, second, other = (one.add_version(model(id_)) for id_ in ("5", "5", "6"))
    assert one.deployed_versions() == {}
    one.add_endpoint(endpoint("a", deployed=(deployed("1"), deployed("2", "6"), deployed("3"))))
    assert set(one.deployed_versions()) == {first.name.at("1"), other.name.at("1")}
    one.add_endpoint(endpoint("b", deployed=(deployed("4", version="2"),)))
    found = one.deployed_versions()[second.name.at("2")]
    assert replace(found, aliases=()) == replace(one.version(second.name, "2"), aliases=())


def test_deployed_models_are_found_by_model_version_and_pool(one):
    shared = pool().name
    one.add_endpoint(endpoint("a", deployed=(deployed("1", pool=str(shared)), deployed("2", version="2"))))
    one.add_endpoint(endpoint("b", deployed=(deployed("3", pool=str(shared), created=at(1)),)))
    one.add_endpoint(endpoint("c"))
    elsewhere = Location("other", "us-central1")
    one.add_endpoint(endpoint("d", elsewhere, deployed=(deployed("4", "6"),)))

    def found(pairs):
        return [(name.id, one.id) for name, one in pairs]

    assert found(one.deployments_of(FIVE)) == [("a", "1"), ("a", "2"), ("b", "3")]
    assert found(one.deployments_of(FIVE, "2")) == found(one.deployments_of(FIVE.at("2"))) == [("a", "2")]
    assert one.deployments_of(HERE.child("models", "7")) == []
    first = one.deployments_in(shared, Query(page_size=1))
    assert found(first.items) == [("b", "3")]
    rest = one.deployments_in(shared, Query(page_size=1, page_token=first.next_page_token))
    assert (found(rest.items), rest.next_page_token) == ([("a", "1")], "")
    assert found(one.deployments_in(shared, Query(f'endpoint="{FULL}/endpoints/a"')).items) == [("a", "1")]
    assert [each.name.id for each in one.all_endpoints()] == ["a", "b", "d"]
    one.delete_endpoint(HERE.child("endpoints", "a"))
    assert found(one.deployments_of(FIVE)) == [("b", "3")]


def test_a_pool_is_kept(one):
    given = pool(document={"dedicatedResources": {"minReplicaCount": 1}})
    assert one.add_pool(given) == one.pool(given.name) == given
    changed = replace(given, document={})
    assert one.put_pool(replace(changed, created=at(5))) == one.pool(given.name) == changed
    assert one.pools(HERE, Query("id=pool")).items == [changed]
    one.delete_pool(given.name)


def test_an_operation_is_kept_until_it_is_done_and_after(one):
    given = operation(request={"endpoint": "e"}, owner="n1", revision=3, api="v1beta1")
    assert one.add_operation(given) == given
    other = one.add_operation(operation("2", created=at(-1), owner="n2"))
    assert one.unfinished() == [other, given]
    assert one.unfinished("n1") == [given]
    put = one.put_operation(replace(given, done=True, response={"@type": "t"}))
    assert put.updated > given.updated
    assert replace(put, updated=given.updated, response=None, done=False) == given
    failed = one.put_operation(replace(other, done=True, failure=Failure(9, "no")))
    assert (failed.failure, failed.response) == (Failure(9, "no"), None)
    assert one.unfinished() == []
    assert one.operations(HERE, Query("done=true kind=deployModel", order_by="create_time")).items == [
        failed,
        put,
    ]
    one.delete_operation(given.name)
    assert one.operations(HERE, Query("done=false OR id=1")).items == []


@pytest.mark.parametrize(
    ("kind", "read", "add", "put", "delete", "given"),
    [
        ("Endpoint", "endpoint", "add_endpoint", "put_endpoint", "delete_endpoint", endpoint()),
        ("DeploymentResourcePool", "pool", "add_pool", "put_pool", "delete_pool", pool()),
        ("Operation", "operation", "add_operation", "put_operation", "delete_operation", operation()),
        ("Model", "version", None, "put_version", "delete_model", model()),
    ],
    ids=["endpoint", "pool", "operation", "model"],
)
def test_what_is_missing_or_there_already_is_named(one, kind, read, add, put, delete, given):
    for action, argument in ((read, given.name), (put, given), (delete, given.name)):
        with pytest.raises(NotFound) as error:
            getattr(one, action)(argument)
        assert str(error.value) == f"{kind} {given.name} is not found."
    if add:
        getattr(one, add)(given)
        with pytest.raises(AlreadyExists) as error:
            getattr(one, add)(given)
        assert str(error.value) == f"{kind} {given.name} already exists."


@pytest.mark.parametrize(
    "given",
    [
        {"display_name": "a\0b"},
        {"display_name": "\ud800"},
        {"labels": {"a": "\0"}},
        {"document": {"deep": ["\\\0"]}},
        {"document": {"text": "\ud800"}},
        {"document": {"number": float("nan")}},
    ],
    ids=["nul", "surrogate", "nul in labels", "nul in document", "surrogate in document", "nan"],
)
def test_what_one_database_could_not_keep_is_refused_by_both(catalog, given):
    with pytest.raises(InvalidArgument), catalog.transaction() as one:
        one.add_version(model(**given))
    with catalog.transaction() as one:
        assert one.models(HERE, Query()).items == []
        one.add_version(model(document={"text": "\\u0000"}))


def test_ids_look_like_googles(one):
    ids = [one.new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(id_) == 19 and id_.isdecimal() and int(id_) < 2**63 for id_ in ids)


def test_revisions_count_up(catalog):
    with catalog.transaction() as one:
        assert (one.revision(), one.bump(), one.bump(), one.revision()) == (0, 1, 2, 2)
    assert catalog.revision() == 2


def test_nodes_are_alive_while_they_say_so(one):
    one.beat("b", 3, {"17": Failure(9, "no such file")})
    one.beat("a", 1, {})
    one.beat("b", 4, {"17": Failure(9, "still none")})
    found = one.nodes(60)
    assert [replace(node, seen=START) for node in found] == [
        Node("a", 1, START),
        Node("b", 4, START, {"17": Failure(9, "still none")}),
    ]
    assert found[1].seen > found[0].seen
    while one.nodes(0.001):
        pass
    one.delete_node("a")
    one.delete_node("a")
    assert [node.id for node in one.nodes(60)] == ["b"]
