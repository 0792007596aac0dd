"""Datasets, tables, views and rows by google-cloud-bigquery."""

import datetime

import pytest
from google.api_core import exceptions
from google.cloud.bigquery import Dataset, QueryJobConfig, SchemaField, Table, TimePartitioning


def names(items):
    return [item.table_id for item in items]


def test_a_dataset_is_made_found_changed_and_deleted(bigquery):
    dataset = Dataset(f"{bigquery.project}.ds")
    dataset.description, dataset.labels, dataset.friendly_name = "about", {"team": "x"}, "friendly"
    made = bigquery.create_dataset(dataset)
    assert (made.description, made.labels, made.friendly_name) == ("about", {"team": "x"}, "friendly")
    assert made.location == "US"
    assert made.created <= datetime.datetime.now(datetime.UTC)
    with pytest.raises(exceptions.Conflict, match="Already Exists: Dataset"):
        bigquery.create_dataset("ds")
    assert bigquery.create_dataset("ds", exists_ok=True).etag == made.etag
    made.description, made.labels = None, {"team": None, "other": "y"}
    changed = bigquery.update_dataset(made, ["description", "labels"])
    assert (changed.description, changed.labels, changed.friendly_name) == (None, {"other": "y"}, "friendly")
    with pytest.raises(exceptions.PreconditionFailed):  # its etag is of before
        bigquery.update_dataset(made, ["friendly_name"])
    bigquery.create_dataset("another")
    assert [one.dataset_id for one in bigquery.list_datasets()] == ["another", "ds"]
    assert [one.dataset_id for one in bigquery.list_datasets(filter="labels.other:y")] == ["ds"]
    assert [one.dataset_id for one in bigquery.list_datasets(page_size=1)] == ["another", "ds"]
    bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[SchemaField("a", "INT64")]))
    with pytest.raises(exceptions.BadRequest, match="still in use"):
        bigquery.delete_dataset("ds")
    bigquery.delete_dataset("ds", delete_contents=True)
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset"):
        bigquery.get_dataset("ds")
    bigquery.delete_dataset("ds", not_found_ok=True)


def test_projects_keep_their_names_apart(tables, bigquery):
    bigquery.create_dataset("ds")
    with tables.client(f"{bigquery.project}-2") as other:
        assert list(other.list_datasets()) == []
        other.create_dataset("ds")
        other.query("CREATE TABLE ds.t AS SELECT 1 AS a").result()
        assert [row["a"] for row in bigquery.query(f"SELECT a FROM `{other.project}.ds.t`")] == [1]
        assert names(bigquery.list_tables("ds")) == []
        assert names(bigquery.list_tables(f"{other.project}.ds")) == ["t"]
    assert bigquery.project in [one.project_id for one in bigquery.list_projects()]


def test_a_table_is_made_found_changed_and_deleted(bigquery, dataset):
    schema = [
        SchemaField("id", "INTEGER", "REQUIRED", description="the key"),
        SchemaField("tags", "STRING", "REPEATED"),
        SchemaField("at", "RECORD", fields=[SchemaField("x", "FLOAT64"), SchemaField("when", "TIMESTAMP")]),
    ]
    table = Table(f"{bigquery.project}.ds.t", schema=schema)
    table.description, table.labels, table.friendly_name = "about", {"team": "x"}, "friendly"
    table.time_partitioning = TimePartitioning(field="day")
    table.clustering_fields = ["id"]
    made = bigquery.create_table(table)
    assert [(one.name, one.field_type, one.mode) for one in made.schema] == [
        ("id", "INTEGER", "REQUIRED"),
        ("tags", "STRING", "REPEATED"),
        ("at", "RECORD", "NULLABLE"),
    ]
    assert made.schema[0].description == "the key"
    assert [one.field_type for one in made.schema[2].fields] == ["FLOAT", "TIMESTAMP"]
    assert (made.description, made.labels, made.friendly_name) == ("about", {"team": "x"}, "friendly")
    assert (made.num_rows, made.table_type, made.clustering_fields) == (0, "TABLE", ["id"])
    with pytest.raises(exceptions.Conflict, match=f"Already Exists: Table {bigquery.project}:ds.t"):
        bigquery.create_table(table)
    assert bigquery.create_table(table, exists_ok=True).etag == made.etag
    made.description = "changed"
    made.schema = [*made.schema, SchemaField("more", "BOOL")]
    changed = bigquery.update_table(made, ["description", "schema"])
    assert (changed.description, [one.name for one in changed.schema][-1]) == ("changed", "more")
    with pytest.raises(exceptions.PreconditionFailed):
        bigquery.update_table(made, ["description"])
    changed.schema = changed.schema[:1]
    with pytest.raises(exceptions.BadRequest, match="tags is missing in new schema"):
        bigquery.update_table(changed, ["schema"])
    assert names(bigquery.list_tables("ds")) == ["t"]
    bigquery.delete_table("ds.t")
    with pytest.raises(exceptions.NotFound, match="Not found: Table"):
        bigquery.get_table("ds.t")
    bigquery.delete_table("ds.t", not_found_ok=True)


def test_a_table_that_is_required_to_have_values_refuses_rows_without(bigquery, dataset):
    bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[SchemaField("a", "INT64", "REQUIRED")]))
    errors = bigquery.insert_rows_json("ds.t", [{}])
    assert "Missing required field: a" in errors[0]["errors"][0]["message"]
    with pytest.raises(exceptions.BadRequest, match="NULL"):
        bigquery.query("INSERT INTO t VALUES (NULL)").result()
    made = bigquery.get_table("ds.t")
    made.schema = [SchemaField("a", "INT64")]
    bigquery.update_table(made, ["schema"])
    assert bigquery.insert_rows_json("ds.t", [{}]) == []


def test_a_view_is_a_table_that_is_queried(bigquery, dataset):
    bigquery.query("CREATE TABLE t AS SELECT x FROM UNNEST([1, 2, 3]) AS x").result()
    view = Table(f"{bigquery.project}.ds.v")
    view.view_query = f"SELECT x, x * 10 AS ten FROM `{bigquery.project}.ds.t` WHERE x > 1"
    made = bigquery.create_table(view)
    assert (made.table_type, made.view_query) == ("VIEW", view.view_query)
    assert [one.name for one in made.schema] == ["x", "ten"]
    assert sorted(row["ten"] for row in bigquery.query("SELECT ten FROM v")) == [20, 30]
    made.view_query = "SELECT 5 AS five"
    assert [one.name for one in bigquery.update_table(made, ["view_query"]).schema] == ["five"]
    with pytest.raises(exceptions.BadRequest, match="VIEW"):
        list(bigquery.list_rows(made, selected_fields=made.schema))
    assert [(one.table_id, one.table_type) for one in bigquery.list_tables("ds")] == [
        ("t", "TABLE"),
        ("v", "VIEW"),
    ]
    broken = Table(f"{bigquery.project}.ds.w")
    broken.view_query = "SELECT nope FROM ds.t"
    with pytest.raises(exceptions.BadRequest, match="nope"):
        bigquery.create_table(broken)


def test_a_name_is_of_one_thing(bigquery, dataset):
    bigquery.query("CREATE VIEW v AS SELECT 1 AS a").result()
    with pytest.raises(exceptions.Conflict):
        bigquery.create_table(Table(f"{bigquery.project}.ds.v", schema=[SchemaField("a", "INT64")]))


def test_rows_are_listed_page_by_page_and_by_columns(bigquery, dataset):
    bigquery.query(
        "CREATE TABLE t AS SELECT x AS a, CAST(x AS STRING) AS b FROM UNNEST(GENERATE_ARRAY(1, 100)) AS x"
    ).result()
    found = bigquery.list_rows("ds.t", page_size=30)
    assert [row["a"] for row in found] == list(range(1, 101))
    assert found.total_rows == 100
    assert [row["a"] for row in bigquery.list_rows("ds.t", start_index=95)] == [96, 97, 98, 99, 100]
    assert [row["a"] for row in bigquery.list_rows("ds.t", max_results=2)] == [1, 2]
    only = bigquery.list_rows("ds.t", selected_fields=[SchemaField("b", "STRING")], max_results=2)
    assert [tuple(row) for row in only] == [("1",), ("2",)]
    with pytest.raises(exceptions.NotFound, match="pageToken"):
        list(bigquery.list_rows("ds.t", page_token="nonsense"))


def test_rows_are_inserted_as_they_come(bigquery, dataset):
    schema = [
        SchemaField("a", "INT64"),
        SchemaField("when", "TIMESTAMP"),
        SchemaField("many", "FLOAT64", "REPEATED"),
        SchemaField("both", "RECORD", fields=[SchemaField("x", "STRING"), SchemaField("y", "BYTES")]),
    ]
    table = bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=schema))
    when = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    assert bigquery.insert_rows(table, [(1, when, [0.5, 1], {"x": "s", "y": b"\x00"})]) == []
    assert bigquery.insert_rows_json(table, [{"a": "2", "MANY": []}, {}]) == []
    assert [tuple(row) for row in bigquery.list_rows(table)] == [
        (1, when, [0.5, 1.0], {"x": "s", "y": b"\x00"}),
        (2, None, [], None),
        (None, None, [], None),
    ]


def test_a_row_that_does_not_fit_is_named_and_none_is_inserted(bigquery, dataset):
    table = bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[SchemaField("a", "INT64")]))
    rows = [{"a": 1}, {"a": "x"}, {"b": 2}, {"a": [3]}]
    errors = bigquery.insert_rows_json(table, rows)
    assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [
        (0, "stopped"),
        (1, "invalid"),
        (2, "invalid"),
        (3, "invalid"),
    ]
    assert [one["errors"][0]["location"] for one in errors] == ["", "a", "b", "a"]
    assert "no such field: b" in errors[2]["errors"][0]["message"]
    assert list(bigquery.list_rows(table)) == []
    errors = bigquery.insert_rows_json(table, rows, skip_invalid_rows=True, ignore_unknown_values=True)
    assert [one["index"] for one in errors] == [1, 3]
    assert [row["a"] for row in bigquery.list_rows(table)] == [1, None]


def test_a_row_that_is_sent_twice_is_inserted_once(bigquery, dataset):
    table = bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[SchemaField("a", "INT64")]))
    for _ in range(2):
        assert bigquery.insert_rows_json(table, [{"a": 1}, {"a": 2}], row_ids=["one", "two"]) == []
    assert [row["a"] for row in bigquery.list_rows(table)] == [1, 2]
    assert bigquery.insert_rows_json(table, [{"a": 1}], row_ids=[None]) == []
    assert bigquery.get_table(table).num_rows == 3


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"name": "a", "type": "GEOGRAPHY"}, "GEOGRAPHY"),
        ({"name": "a", "type": "INT64", "defaultValueExpression": "1"}, "defaultValueExpression"),
    ],
)
def test_what_a_column_cannot_be_is_refused_by_name(bigquery, dataset, field, said):
    with pytest.raises(exceptions.MethodNotImplemented, match=said):
        bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[SchemaField.from_api_repr(field)]))


def test_what_is_asked_of_permissions_and_routines_is_answered(bigquery, dataset):
    bigquery.query("CREATE TABLE t AS SELECT 1 AS a").result()
    asked = ["bigquery.tables.getData"]
    assert bigquery.test_iam_permissions(f"{bigquery.project}.ds.t", asked)["permissions"] == asked
    assert list(bigquery.list_routines("ds")) == []
    assert "@" in bigquery.get_service_account_email()
    with pytest.raises(exceptions.MethodNotImplemented, match="policy"):
        bigquery.get_iam_policy(f"{bigquery.project}.ds.t")


def test_datasets_and_tables_are_in_the_information_schema(bigquery, dataset):
    bigquery.query("CREATE TABLE t (a INT64, b ARRAY<STRING>)").result()
    config = QueryJobConfig()
    found = bigquery.query(
        "SELECT column_name, data_type FROM ds.INFORMATION_SCHEMA.COLUMNS ORDER BY ordinal_position", config
    )
    assert [tuple(row) for row in found] == [("a", "INT64"), ("b", "ARRAY<STRING>")]
