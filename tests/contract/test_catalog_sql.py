"""What every database of a catalog must do: the names that models have in the datasets of SQL."""

from dataclasses import replace

import pytest

from tests.contract.catalog_values import HERE, START, at, model
from trivet.catalog import Catalog
from trivet.core.errors import Aborted, AlreadyExists, NotFound
from trivet.core.resources import DatasetModel

V1 = HERE.child("models", "5").at("1")


def name(id_="m", dataset="ds", **changes):
    values = {"created": START, "updated": START, "document": {"type": "ONNX", "größe": [1.5, None]}}
    return DatasetModel("acme", dataset, id_, **(values | changes))


@pytest.fixture
def with_name(catalog):
    with catalog.transaction() as tx:
        tx.add_sql_model(name(model=V1))
    return catalog


def test_a_name_comes_back_as_it_was_added(catalog):
    given = name("M-größe", created=at(1), updated=at(2), model=V1, expires=at(10**9))
    with catalog.transaction() as tx:
        added = tx.add_sql_model(given)
        assert replace(added, etag="") == given
        assert added.etag
        assert tx.add_sql_model(name()).model is None
    with catalog.reading() as tx:
        assert tx.sql_model("acme", "ds", "M-größe") == added
        assert [one.id for one in tx.sql_models("acme", "ds")] == ["M-größe", "m"]


def test_names_mind_case_and_are_those_of_their_dataset(with_name):
    with with_name.transaction() as tx:
        for other in (name("M"), name(dataset="DS"), replace(name(), project="other")):
            tx.add_sql_model(other)
        with pytest.raises(AlreadyExists, match=r"^Already Exists: Model acme:ds\.m$"):
            tx.add_sql_model(name())
        assert [str(one) for one in tx.sql_models("acme")] == ["acme:DS.m", "acme:ds.M", "acme:ds.m"]
        assert tx.sql_models("acme", "d") == []
        for call in (tx.sql_model, tx.delete_sql_model):
            with pytest.raises(NotFound, match=r"^Not found: Model acme:ds\.x$"):
                call("acme", "ds", "x")


def test_putting_a_name_needs_its_etag(with_name):
    with with_name.transaction() as tx:
        stored = tx.sql_model("acme", "ds", "m")
        put = tx.put_sql_model(replace(stored, model=V1.at("2"), document={}))
        assert (put.model, put.document, put.created) == (V1.at("2"), {}, START)
        assert put.updated > START
        assert put.etag != stored.etag
        with pytest.raises(Aborted, match=r"acme:ds\.m has been changed by somebody else"):
            tx.put_sql_model(stored)
        tx.delete_sql_model("acme", "ds", "m")
        with pytest.raises(NotFound):
            tx.put_sql_model(put)


def test_the_names_of_a_version_are_found(with_name):
    with with_name.transaction() as tx:
        tx.add_sql_model(name("n", model=V1.at("2")))
        tx.add_sql_model(name("o", model=HERE.child("models", "55").at("1")))
        tx.add_sql_model(name("p"))
        assert [one.id for one in tx.sql_models_of(V1)] == ["m"]
        assert [one.id for one in tx.sql_models_of(V1.at(""))] == ["m", "n"]


def test_a_name_that_has_expired_is_gone(url):
    now = [START]
    catalog = Catalog(url, lambda: now[0])
    with catalog.transaction() as tx:
        tx.add_sql_model(name("soon", expires=at(5), model=V1))
        tx.add_sql_model(name("later", expires=at(9)))
        tx.add_sql_model(name("never"))
        assert tx.next_sql_expiry() == at(5)
        assert tx.expired_sql_models() == []
        assert tx.sql_model("acme", "ds", "soon").expires == at(5)
    now[0] = at(5)
    with catalog.transaction() as tx:
        assert tx.next_sql_expiry() == at(9)
        assert [one.id for one in tx.expired_sql_models()] == ["soon"]
        assert [one.id for one in tx.sql_models("acme", "ds")] == ["later", "never"]
        assert tx.sql_models_of(V1) == []
        for call in (lambda: tx.sql_model("acme", "ds", "soon"), lambda: tx.put_sql_model(name("soon"))):
            with pytest.raises(NotFound):
                call()
        tx.add_sql_model(name("soon"))
        tx.delete_sql_model("acme", "ds", "later")
        assert tx.next_sql_expiry() is None
        tx.put_sql_model(replace(tx.sql_model("acme", "ds", "never"), expires=at(5)))
        tx.delete_sql_model("acme", "ds", "never")
        assert [one.id for one in tx.sql_models("acme")] == ["soon"]
    catalog.close()


def test_the_revision_is_another_after_what_may_change_the_meaning_of_a_name(catalog):
    seen = []

    def told(change):
        with catalog.transaction() as tx:
            change(tx)
        with catalog.reading() as tx:
            seen.append(tx.sql_revision())

    told(lambda tx: None)
    told(lambda tx: tx.add_sql_model(name()))
    told(lambda tx: tx.put_sql_model(tx.sql_model("acme", "ds", "m")))
    told(lambda tx: tx.delete_sql_model("acme", "ds", "m"))
    told(lambda tx: tx.add_version(model()))
    told(lambda tx: tx.add_version(model()))
    told(lambda tx: tx.put_version(replace(tx.version(V1), display_name="x")))
    told(lambda tx: tx.name_version(V1, "2", ["default", "champion"]))
    told(lambda tx: tx.delete_version(V1, "1"))
    told(lambda tx: tx.delete_model(V1))
    assert seen == sorted(set(seen))
    last = seen[-1]
    told(lambda tx: tx.bump())
    assert seen[-1] == last


def test_the_stamp_is_another_after_each_change_where_there_is_one(url):
    catalog, other = Catalog(url), Catalog(url)
    stamps = [catalog.stamp()]
    if stamps == [None]:
        assert url.startswith("postgresql")
    else:
        for one in (catalog, other, catalog):
            with one.transaction() as tx:
                tx.bump()
            stamps.append(catalog.stamp())
            assert catalog.stamp() == stamps[-1]
        assert len(set(stamps)) == 4
    catalog.close()
    other.close()
