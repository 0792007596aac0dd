"""BigQuery as a source: by Google's client, over the wire, from an emulator."""

import json
from dataclasses import replace

import pytest

from tests.integration.bigquery import Refused, emulated
from trivet.core.errors import FailedPrecondition, InvalidArgument, NotFound
from trivet.sources.base import Inputs
from trivet.sources.bigquery import SOURCE
from trivet.storage import bigquery

NAME = "p.ds.t"
INPUTS = Inputs((f"bq://{NAME}",))


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(bigquery, "PATIENCE", 2.0)
    with emulated(monkeypatch) as emulator:
        yield emulator


def put_numbers(service, count):
    fields = [{"name": "id", "type": "INTEGER"}, {"name": "x", "type": "FLOAT", "mode": "REQUIRED"}]
    service.put(NAME, fields, [{"id": number, "x": number / 2} for number in range(count)])


def read(inputs=INPUTS):
    rows, sizes = [], []
    for shard in SOURCE.plan(inputs):
        offset = shard.first
        for records in SOURCE.read(shard, inputs):
            sizes.append(records.size)
            assert list(records.offsets) == list(range(offset, offset + len(records.offsets)))
            offset += records.size
            for cells in zip(*records.cells, strict=True):
                rows.append(dict(zip(records.names, map(json.loads, cells), strict=True)))
        assert offset == shard.stop
    return rows, sizes


def test_all_rows_are_read_in_the_order_of_the_table(service):
    put_numbers(service, 1000)
    inputs = replace(INPUTS, shard_rows=300)
    shards = list(SOURCE.plan(inputs))
    assert json.loads(json.dumps([shard.details for shard in shards])) == [one.details for one in shards]
    assert [shard.details.get("schema") is not None for shard in shards] == [True] + [False] * (
        len(shards) - 1
    )
    assert [(shard.index, shard.first) for shard in shards] == [
        (index, shard.start) for index, shard in enumerate(shards)
    ]
    rows, _ = read(inputs)
    assert rows == [{"id": number, "x": number / 2} for number in range(1000)]


def test_batches_are_the_same_however_the_service_cuts_its_pages(service):
    put_numbers(service, 1000)
    rows, sizes = read()
    service.page = 7
    assert read() == (rows, sizes)


def test_numbers_are_there_where_all_columns_are_numbers(service):
    put_numbers(service, 3)
    (shard,) = SOURCE.plan(INPUTS)
    (records,) = SOURCE.read(shard, INPUTS)
    assert records.numbers.tolist() == [[0.0, 0.0], [1.0, 0.5], [2.0, 1.0]]
    for value in (2**53 + 1, None):
        service.put(NAME, [{"name": "id", "type": "INT64"}], [{"id": value}])
        (shard,) = SOURCE.plan(INPUTS)
        (records,) = SOURCE.read(shard, INPUTS)
        assert records.numbers is None
        assert records.cells[0] == [json.dumps(value).encode()]


TYPES = [
    ({"type": "STRING"}, 'é"\n', 'é"\n'),
    ({"type": "BOOLEAN"}, True, True),
    ({"type": "INTEGER"}, 2**63 - 1, 2**63 - 1),
    ({"type": "FLOAT"}, 1.24578001, 1.24578001),
    ({"type": "FLOAT"}, float("nan"), None),
    ({"type": "NUMERIC"}, "1.50", 1.5),
    ({"type": "NUMERIC"}, "2", 2.0),
    ({"type": "TIMESTAMP"}, "2019-01-01T23:59:59.999999Z", "2019-01-01 23:59:59.999999+00:00"),
    ({"type": "TIMESTAMP"}, "2019-01-01 00:00:00+02:00", "2018-12-31 22:00:00+00:00"),
    ({"type": "DATE"}, "2018-12-31", "2018-12-31"),
    ({"type": "TIME"}, "23:59:59.999999", "23:59:59.999999"),
    ({"type": "DATETIME"}, "2019-01-01T00:00:00", "2019-01-01T00:00:00"),
    ({"type": "BYTES"}, "aGk=", {"b64": "aGk="}),
    ({"type": "JSON"}, {"a": [1, None]}, {"a": [1, None]}),
    ({"type": "GEOGRAPHY"}, "POINT(1 2)", "POINT(1 2)"),
    ({"type": "INTEGER", "mode": "REPEATED"}, [1, 2], [1, 2]),
    ({"type": "STRING", "mode": "REPEATED"}, [], []),
    (
        {"type": "RECORD", "fields": [{"name": "a", "type": "INT64"}, {"name": "b", "type": "STRING"}]},
        {"a": 1, "b": None},
        {"a": 1, "b": None},
    ),
    (
        {
            "type": "RECORD",
            "mode": "REPEATED",
            "fields": [{"name": "t", "type": "FLOAT64", "mode": "REPEATED"}],
        },
        [{"t": [0.5]}, {"t": []}],
        [{"t": [0.5]}, {"t": []}],
    ),
]


@pytest.mark.parametrize(("field", "value", "expected"), TYPES)
def test_a_type_is_turned_as_documented(service, field, value, expected):
    service.put(NAME, [{"name": "c", **field}], [{"c": value}, {"c": None}])
    rows, _ = read()
    assert rows[0] == {"c": expected}
    assert rows[1] == {"c": [] if field.get("mode") == "REPEATED" else None}


def test_numbers_of_many_digits_lose_none(service):
    service.put(NAME, [{"name": "c", "type": "NUMERIC"}], [{"c": "12345678901234567890.123456789"}])
    (shard,) = SOURCE.plan(INPUTS)
    (records,) = SOURCE.read(shard, INPUTS)
    assert records.cells[0] == [b"12345678901234567890.123456789"]


def test_a_table_without_rows_is_a_shard_without_records(service):
    put_numbers(service, 0)
    (shard,) = SOURCE.plan(INPUTS)
    assert shard.size == 0
    assert list(SOURCE.read(shard, INPUTS)) == []


@pytest.mark.parametrize("after", ["plan", "first page"])
def test_a_table_that_changes_is_refused(service, after):
    put_numbers(service, 1000)
    (shard,) = SOURCE.plan(INPUTS)
    reading = SOURCE.read(shard, INPUTS)
    if after == "first page":
        next(reading)
    put_numbers(service, 1000)
    with pytest.raises(FailedPrecondition, match=r"bq://p.ds.t: has changed since the job was planned"):
        list(reading)


def test_several_tables_are_counted_on(service):
    service.put("p.ds.a", [{"name": "x", "type": "INT64"}], [{"x": 1}])
    service.put("p.ds.b", [{"name": "x", "type": "INT64"}], [{"x": 2}])
    shards = list(SOURCE.plan(Inputs(("bq://p.ds.a", "bq://p.ds.b"))))
    assert [(one.index, one.uri, one.first) for one in shards] == [
        (0, "bq://p.ds.a", 0),
        (1, "bq://p.ds.b", 0),
    ]


def test_what_cannot_be_read_is_refused_by_name(service):
    with pytest.raises(NotFound, match=r"bq://p.ds.t: .*Not found: Dataset|Table"):
        list(SOURCE.plan(INPUTS))
    put_numbers(service, 1)
    service.tables[tuple(NAME.split("."))]["type"] = "VIEW"
    with pytest.raises(FailedPrecondition, match="is a VIEW"):
        list(SOURCE.plan(INPUTS))
    put_numbers(service, 1)
    service.tables[tuple(NAME.split("."))]["streamingBuffer"] = {"estimatedRows": "1"}
    with pytest.raises(FailedPrecondition, match="streamed"):
        list(SOURCE.plan(INPUTS))
    for uri in ("bq://p", "bq://p.ds", "bq://", "bq://p/ds/t", "gs://p.ds.t"):
        with pytest.raises(InvalidArgument, match="expected"):
            list(SOURCE.plan(Inputs((uri,))))


def test_a_request_that_fails_for_a_moment_is_made_again(service):
    put_numbers(service, 10)
    failing = [True]

    def refuse(request):
        if request.endswith("/data") and failing:
            failing.clear()
            raise Refused(503, "backendError", "try again")

    service.before = refuse
    rows, _ = read()
    assert len(rows) == 10


def test_a_service_that_says_no_is_quoted(service):
    put_numbers(service, 10)

    def refuse(request):
        if request.endswith("/data"):
            raise Refused(403, "accessDenied", "Access Denied: Table p:ds.t")

    service.before = refuse
    with pytest.raises(FailedPrecondition, match=r"says: .*Access Denied"):
        read()
