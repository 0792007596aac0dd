from datetime import UTC, datetime, timedelta, timezone

import pytest

from trivet.core.errors import InvalidArgument
from trivet.core.resources import Location, Name, Query
from trivet.protocols.vertex.wire import (
    MAX_DEPTH,
    Asked,
    camel,
    got,
    read_body,
    read_mask,
    read_query,
    snake,
    timestamp,
    without_output,
)

HOME = Location("local", "us-central1")


def asked(query="", body=None, **parts):
    parts = {"parent": "projects/p/locations/us-central1", **parts}
    return Asked("v1", parts, read_query(query), body or {}, "http://127.0.0.1:8080", HOME)


@pytest.mark.parametrize(
    ("in_json", "in_protos"),
    [("displayName", "display_name"), ("name", "name"), ("sharedMemorySizeMb", "shared_memory_size_mb")],
)
def test_a_field_has_two_names(in_json, in_protos):
    assert camel(in_protos) == camel(in_json) == in_json
    assert snake(in_json) == in_protos


def test_times_are_in_utc_and_say_so():
    assert timestamp(datetime(2026, 1, 31, 12, tzinfo=UTC)) == "2026-01-31T12:00:00Z"
    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 1, 31, 12, 0, 0, 250000, tzinfo=east)) == "2026-01-31T10:00:00.250000Z"


@pytest.mark.parametrize(
    ("mask", "paths"),
    [
        (None, []),
        ("", []),
        ("displayName, trafficSplit", ["displayName", "trafficSplit"]),
        ("traffic_split", ["traffic_split"]),
        ({"paths": ["display_name", "labels"]}, ["display_name", "labels"]),
        ({}, []),
        (["labels"], ["labels"]),
    ],
)
def test_a_mask_may_be_written_in_several_ways(mask, paths):
    assert read_mask(mask) == paths


@pytest.mark.parametrize("mask", [7, {"paths": [1]}, {"paths": 1}, [None]])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(InvalidArgument, match="updateMask: expected paths"):
        read_mask(mask)


def test_the_mask_is_in_the_query_or_in_the_body():
    assert asked("updateMask=displayName%2Clabels").mask() == ["displayName", "labels"]
    assert asked("update_mask=labels").mask() == ["labels"]
    assert asked("updateMask.paths=a&updateMask.paths=b").mask() == ["a", "b"]
    assert asked("updateMask=labels", {"updateMask": {"paths": ["displayName"]}}).mask() == ["displayName"]
    assert asked(body={"update_mask": "labels"}).mask() == ["labels"]
    assert asked().mask() == []


def test_a_page_is_in_the_query():
    query = "filter=display_name%3D%22m1%22&orderBy=create_time%20desc&page_size=20&pageToken=t&%24alt=json"
    assert asked(query).page() == Query('display_name="m1"', "create_time desc", 20, "t")
    assert asked().page() == Query()
    assert asked("pageSize=99999999999999").page().page_size == 1000
    for size in ("-1", "x", "1.5", "%C2%B2"):
        with pytest.raises(InvalidArgument, match="pageSize: expected a whole number"):
            asked(f"pageSize={size}").page()


def test_a_path_names_a_resource():
    one = asked(id="m@2")
    assert one.parent == Location("p", "us-central1")
    assert one.name("models") == Name("p", "us-central1", "models", "m", "2")
    with pytest.raises(InvalidArgument, match="projects/PROJECT/locations/LOCATION/models/ID"):
        asked(id="..").name("models")


def test_a_query_has_its_limits():
    with pytest.raises(InvalidArgument, match="more than 200 parameters"):
        read_query("&".join(["a=1"] * 201))
    assert read_query("a=%ff")["a"] == ["\ufffd"]


def test_a_body_is_an_object():
    assert read_body(b"") == read_body(b" \n") == read_body(b"{}") == {}
    assert read_body(b'{"a": [1, {}]}') == {"a": [1, {}]}
    with pytest.raises(InvalidArgument, match=r"the body: expected a JSON object; got \[1,2\]"):
        read_body(b"[1, 2]")
    with pytest.raises(InvalidArgument, match="not valid JSON"):
        read_body(b"{")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 100_000])
def test_a_body_is_not_too_deep(depth):
    assert read_body(b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}")
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        read_body(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_values_are_shown_short():
    assert got("x") == '"x"'
    assert got(None) == "null"
    assert len(got("x" * 1000)) == 60


def test_fields_of_the_server_are_not_the_callers():
    whole = {"name": "n", "createTime": "t", "deployedModels": [], "displayName": "d", "etag": "e"}
    assert without_output(whole) == {"displayName": "d", "etag": "e"}
