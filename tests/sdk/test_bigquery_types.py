"""Every type comes through google-cloud-bigquery as it is, out of queries and tables, and into them."""

import datetime
import json
import math
from decimal import Decimal

import pytest
from dateutil.relativedelta import relativedelta
from google.cloud.bigquery import LoadJobConfig, SchemaField, Table

MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)
ZONED = MOMENT.replace(tzinfo=datetime.UTC)

CASES = {
    "INT64": ("-9223372036854775808", -(2**63), "INTEGER"),
    "FLOAT64": ("0.1", 0.1, "FLOAT"),
    "NUMERIC": (
        "NUMERIC '-12345678901234567890.123456789'",
        Decimal("-12345678901234567890.123456789"),
        "NUMERIC",
    ),
    "BIGNUMERIC": ("BIGNUMERIC '0.000000000000000001'", Decimal("0.000000000000000001"), "BIGNUMERIC"),
    "BOOL": ("TRUE", True, "BOOLEAN"),
    "STRING": (r"'a\"\\\tü\n\x01'", 'a"\\\tü\n\x01', "STRING"),
    "BYTES": (r"b'\x00\xffabc'", b"\x00\xffabc", "BYTES"),
    "DATE": ("DATE '2024-02-29'", MOMENT.date(), "DATE"),
    "TIME": ("TIME '12:30:15.123456'", MOMENT.time(), "TIME"),
    "TIME without fraction": ("TIME '12:30:15'", datetime.time(12, 30, 15), "TIME"),
    "DATETIME": ("DATETIME '2024-02-29 12:30:15.123456'", MOMENT, "DATETIME"),
    "DATETIME without fraction": (
        "DATETIME '2024-02-29 12:30:00'",
        datetime.datetime(2024, 2, 29, 12, 30),
        "DATETIME",
    ),
    "TIMESTAMP": ("TIMESTAMP '2024-02-29 12:30:15.123456+00'", ZONED, "TIMESTAMP"),
    "TIMESTAMP before 1970": (
        "TIMESTAMP '1900-01-01 00:00:00.000001+00'",
        datetime.datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC),
        "TIMESTAMP",
    ),
    "JSON": ("""JSON '{"a": [1, null, "x"]}'""", {"a": [1, None, "x"]}, "JSON"),
    "INTERVAL": (
        "INTERVAL 14 MONTH + INTERVAL 3 DAY + INTERVAL 14706 SECOND",
        relativedelta(years=1, months=2, days=3, hours=4, minutes=5, seconds=6),
        "INTERVAL",
    ),
    "ARRAY": ("[1, 2]", [1, 2], "INTEGER"),
    "ARRAY that is empty": ("ARRAY<STRING>[]", [], "STRING"),
    "STRUCT": ("STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}, "RECORD"),
    "ARRAY of STRUCT": (
        "[STRUCT('a' AS label, 0.75 AS prob), STRUCT('b' AS label, 0.25 AS prob)]",
        [{"label": "a", "prob": 0.75}, {"label": "b", "prob": 0.25}],
        "RECORD",
    ),
    "STRUCT of ARRAY": (
        "STRUCT([1, 2] AS many, STRUCT(TRUE AS b) AS inner_)",
        {"many": [1, 2], "inner_": {"b": True}},
        "RECORD",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_of_each_type_comes_out_of_a_query_and_of_a_table(bigquery, dataset, name):
    text, value, type_ = CASES[name]
    job = bigquery.query(f"SELECT {text} AS v")
    [row] = job.result(retry=None)
    assert row["v"] == value
    [field] = job.result().schema
    assert field.field_type == type_
    assert field.mode == ("REPEATED" if isinstance(value, list) else "NULLABLE")
    bigquery.query(f"CREATE TABLE t AS SELECT {text} AS v").result()
    [row] = bigquery.list_rows("ds.t")
    assert row["v"] == value
    [kept] = bigquery.get_table("ds.t").schema
    assert (kept.field_type, kept.mode) == (field.field_type, field.mode)


@pytest.mark.parametrize("name", [name for name in CASES if "ARRAY" not in name.split()[0]])
def test_a_null_of_each_type_is_none(bigquery, name):
    text = CASES[name][0]
    [row] = bigquery.query(f"SELECT IF(FALSE, {text}, NULL) AS v").result(retry=None)
    assert row["v"] is None


def test_numbers_that_are_none_come_through(bigquery):
    text = "SELECT CAST('nan' AS FLOAT64) AS a, CAST('inf' AS FLOAT64) AS b, CAST('-inf' AS FLOAT64) AS c"
    [row] = bigquery.query(text).result()
    assert math.isnan(row["a"])
    assert (row["b"], row["c"]) == (math.inf, -math.inf)


INSERTED = [name for name in CASES if name not in ("INTERVAL", "ARRAY that is empty")]


def field_of(name):
    value, type_ = CASES[name][1:]
    mode = "REPEATED" if isinstance(value, list) else "NULLABLE"
    fields = {
        "STRUCT": [SchemaField("a", "INT64"), SchemaField("b", "STRING")],
        "ARRAY of STRUCT": [SchemaField("label", "STRING"), SchemaField("prob", "FLOAT64")],
        "STRUCT of ARRAY": [
            SchemaField("many", "INT64", "REPEATED"),
            SchemaField("inner_", "RECORD", fields=[SchemaField("b", "BOOL")]),
        ],
    }
    return SchemaField("v", type_, mode, fields=fields.get(name, ()))


@pytest.mark.parametrize("name", INSERTED)
def test_a_value_of_each_type_is_inserted(bigquery, dataset, name):
    value = CASES[name][1]
    table = bigquery.create_table(Table(f"{bigquery.project}.ds.t", schema=[field_of(name)]))
    assert bigquery.insert_rows(table, [{"v": value}]) == []
    [row] = bigquery.list_rows(table)
    assert row["v"] == value


@pytest.mark.parametrize("name", INSERTED)
def test_a_value_of_each_type_is_loaded_from_json(bigquery, dataset, name):
    from google.cloud.bigquery._helpers import _field_to_json

    value, field = CASES[name][1], field_of(name)
    given = value if name == "JSON" else _field_to_json(field, value)
    config = LoadJobConfig(schema=[field])
    bigquery.load_table_from_json([{"v": given}], "ds.t", job_config=config).result(retry=None)
    [row] = bigquery.list_rows("ds.t")
    assert row["v"] == value
    assert json.dumps(given, default=str)
