"""The models of SQL beside their statements: ids, what the catalog keeps, threads, buckets, places."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sql.models import DS, opened
from trivet.app import owners
from trivet.control.fields import check_id
from trivet.core.errors import Aborted, AlreadyExists, NotFound, ServingError
from trivet.settings import Storage
from trivet.sql import kept
from trivet.sql.creation import own_id
from trivet.sql.model import Remote, SqlModel
from trivet.sql.names import ObjectName
from trivet.sql.types import BOOL, BYTES, FLOAT64, INT64, JSON, STRING, Field, Type, array, struct

ONNX = "CREATE MODEL ds.m OPTIONS(model_type='ONNX', model_path='{}')"
HERE = "models/onnx-regressor/*"

datasets = st.text("aAzZ09_", min_size=1, max_size=80)
object_names = st.text("aAzZ09_-ß界", min_size=1, max_size=80)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
scalars = st.sampled_from([INT64, FLOAT64, BOOL, STRING, BYTES, JSON, Type("BIGNUMERIC"), Type("TIMESTAMP")])


def fields_of(inner):
    return st.lists(st.builds(Field, texts, inner, st.booleans(), texts), max_size=3).map(tuple)


def not_arrays(inner):
    return inner.filter(lambda one: one.kind != "ARRAY")


all_types = st.recursive(
    scalars,
    lambda inner: not_arrays(inner).map(array) | fields_of(inner).map(lambda one: struct(*one)),
    max_leaves=6,
)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(st.lists(st.tuples(datasets, object_names), max_size=6, unique=True))
def test_each_name_has_an_id_of_its_own_that_google_takes(names):
    ids = [own_id(ObjectName("p", *one)) for one in names]
    for one in ids:
        assert check_id(one, "modelId") == one
    assert len(set(ids)) == len(names)


@pytest.mark.parametrize(
    ("dataset", "name", "id_"),
    [("ds", "m", "ds-m"), ("my_ds", "all-MiniLM-L6-v2", "my_ds-all-minilm-l6-v2-"), ("D", "m", "d-m-")],
)
def test_ids_are_like_the_names(dataset, name, id_):
    made = own_id(ObjectName("p", dataset, name))
    assert made == id_ or (id_.endswith("-") and made.startswith(id_) and len(made) == len(id_) + 8)


@given(
    fields_of(all_types),
    st.dictionaries(texts, json, max_size=3),
    st.none() | st.builds(Remote, texts, texts, st.integers(1, 9), st.booleans()),
)
def test_a_model_comes_back_from_the_catalog_as_it_was(fields, options, remote):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    model = SqlModel(
        name=ObjectName("p", "ds", "m"),
        type="ONNX",
        inputs=fields,
        outputs=fields[:1],
        model="" if remote else "projects/p/locations/us-central1/models/ds-m@3",
        owned=remote is None,
        remote=remote,
        options=options,
        parameters=options,
        description="größe",
        labels={"a": "b"},
        created=now,
        modified=now,
        expires=now,
        etag="e",
    )
    assert kept.of(kept.row(model, now)) == model


def test_what_json_has_not_is_kept_as_text():
    document = kept.to_document(
        SqlModel(
            ObjectName("p", "ds", "m"), "ONNX", (), (), options={"at": datetime(2026, 1, 1), "t": (1, b"x")}
        )
    )
    assert document["options"] == {"at": "2026-01-01T00:00:00", "t": [1, "b'x'"]}


def test_of_those_who_make_a_model_at_once_one_does(world):
    def make(_):
        try:
            world.run(ONNX.format(HERE))
        except (AlreadyExists, Aborted) as error:
            return error
        return None

    with ThreadPoolExecutor(6) as pool:
        made = [one for one in pool.map(make, range(6)) if one is None]
    assert len(made) == 1
    assert world.registered() == ["ds-m"]
    assert len(world.versions("ds-m")) == 1
    assert world.place.models.spec(world.find("ds.m")).path.is_dir()


def test_of_those_who_replace_a_model_at_once_each_does_it_or_says_so(world):
    world.run(ONNX.format(HERE))
    statement = ONNX.format(HERE).replace("CREATE", "CREATE OR REPLACE")

    def make(_):
        try:
            world.run(statement)
        except ServingError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as pool:
        failures = [one for one in pool.map(make, range(4)) if one is not None]
    assert all(isinstance(one, Aborted) for one in failures)
    versions = world.versions("ds-m")
    assert len(versions) == 5 - len(failures)
    (default,) = [one.version for one in versions if "default" in one.aliases]
    assert world.find("ds.m").model.endswith(f"@{default}")


def test_models_come_from_buckets(tmp_path, world):
    world.place.close()
    world.place = opened(
        tmp_path / "buckets", storage=Storage(buckets=(f"gs://bucket={tmp_path / 'models'}",))
    ).place
    world.run(ONNX.format("gs://bucket/onnx-regressor/*"))
    (version,) = world.versions("ds-m")
    assert version.artifact.source == "gs://bucket/onnx-regressor"


def test_files_of_another_framework_are_named(tmp_path, world):
    lightgbm = tmp_path / "l"
    lightgbm.mkdir()
    (lightgbm / "g.txt").write_text("tree\nversion=v4\nnum_class=1\n")
    text = "CREATE MODEL ds.m OPTIONS(model_type='XGBOOST', model_path='l/g.txt')"
    with pytest.raises(NotFound, match=r"expected one xgboost model file; found g\.txt \(lightgbm\) at"):
        world.run(text)
    (lightgbm / "README").write_text("")
    with pytest.raises(NotFound, match=r"found README, g\.txt \(lightgbm\) at \[1:49\]$"):
        world.run(text.replace("g.txt", "*"))


def test_a_place_is_there_for_the_next_process(tmp_path, world):
    world.run(ONNX.format(HERE))
    made = world.find("ds.m")
    with opened(tmp_path).place.catalog.reading() as tx:
        assert tx.sql_models("local") != []
    again = opened(tmp_path)
    assert again.find("ds.m") == made
    assert again.place.models.spec(made) == world.place.models.spec(made)
    world.run("CREATE OR REPLACE MODEL ds.m OPTIONS(model_type='ONNX', model_path='models/onnx-zipmap/*')")
    assert again.find("ds.m").model.endswith("@2")
    assert again.place.models.revision() == world.place.models.revision()
    again.place.close()


def test_models_are_listed_by_dataset_and_project(world):
    for name in ("ds.b", "ds.a", "other.c"):
        world.run(ONNX.format(HERE).replace("ds.m", name))
    models = world.place.models
    assert [one.name.name for one in models.list(DS)] == ["a", "b"]
    assert [str(one.name) for one in models.of_project("local")] == [
        "local:ds.a",
        "local:ds.b",
        "local:other.c",
    ]
    assert models.of_project("p") == []
    assert repr(models).startswith("<Models in <Catalog sqlite")


def test_a_model_that_expires_in_use_is_left_to_its_users(world, tmp_path):
    world.run(ONNX.format(HERE))
    world.run("CREATE MODEL ds.n OPTIONS(model='ds-m')")
    row = kept.row(world.find("ds.m"), datetime.now(UTC))
    with world.place.catalog.transaction() as tx:
        tx.put_sql_model(replace(row, expires=datetime(2020, 1, 1, tzinfo=UTC)))
    world.run(ONNX.format(HERE).replace("ds.m", "ds.new"))
    assert [one.name.name for one in world.place.models.list(DS)] == ["n", "new"]
    assert world.registered() == ["ds-m", "ds-new"]


def test_the_work_of_a_process_that_lives_is_left_to_it():
    assert owners.alive(owners.own())
    assert not owners.is_gone(owners.own())
    machine, _, started = owners.own().rpartition("/")
    gone = f"{machine}/{int(started or 0) + 1}"
    assert owners.is_gone(gone)
    assert owners.alive(gone) is False
    for other in ("", "host", "elsewhere/1/2", "node-7f"):
        assert owners.alive(other) is None
        assert not owners.is_gone(other)
