import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivet.protocols.bigquery.api import OF_JOBS, TABLE, WITH_JOBS

LONG = (
    "SELECT count(*) FROM UNNEST(GENERATE_ARRAY(1, 3000000)) a "
    "JOIN UNNEST(GENERATE_ARRAY(1, 3000000)) b ON a < b"
)
"""Takes longer than anybody waits."""


def reason(answer):
    return answer["error"]["errors"][0]["reason"]


def query(ask, text, **more):
    return ask("POST", "/queries", {"query": text, "useLegacySql": False, **more})


def test_a_query_is_answered_at_once(ask):
    answer = query(ask, "SELECT 1 AS a, 'x' AS b", requestId="r1", formatOptions={"useInt64Timestamp": True})
    assert answer["jobComplete"] is True
    assert answer["rows"] == [{"f": [{"v": "1"}, {"v": "x"}]}]
    assert answer["totalRows"] == "1"
    assert answer["schema"]["fields"][0] == {"name": "a", "type": "INTEGER", "mode": "NULLABLE"}
    assert "pageToken" not in answer


def test_a_request_that_is_sent_twice_is_one_query(ask):
    first, second = (query(ask, "SELECT 1 AS a", requestId="twice") for _ in range(2))
    assert first["jobReference"] == second["jobReference"]
    assert query(ask, "SELECT 1 AS a", requestId="other")["jobReference"] != first["jobReference"]


def test_timestamps_are_seconds_unless_micros_are_asked_for(ask):
    text = "SELECT TIMESTAMP '2024-01-01 00:00:00+00' AS t"
    assert query(ask, text)["rows"][0]["f"][0]["v"] == "1704067200.000000"
    for asked in ({"useInt64Timestamp": True}, {"timestampOutputFormat": "INT64"}):
        assert query(ask, text, formatOptions=asked)["rows"][0]["f"][0]["v"] == "1704067200000000"
    job = query(ask, text)["jobReference"]["jobId"]
    found = ask("GET", f"/queries/{job}", query="formatOptions.useInt64Timestamp=True")
    assert found["rows"][0]["f"][0]["v"] == "1704067200000000"


def test_what_it_cannot_write_is_refused(answers):
    for more in (
        {"formatOptions": {"timestampOutputFormat": "ISO8601_STRING"}},
        {"queryResultsFormat": "ARROW"},
    ):
        status, answer = answers("POST", "/queries", {"query": "SELECT 1", "useLegacySql": False, **more})
        assert status in (400, 501), answer


def test_who_does_not_wait_is_told_that_it_is_not_complete(ask, answers):
    answer = query(ask, LONG, timeoutMs=1)
    assert answer["jobComplete"] is False
    assert "rows" not in answer
    job = answer["jobReference"]["jobId"]
    assert ask("GET", f"/queries/{job}", query="timeoutMs=1&maxResults=0")["jobComplete"] is False
    assert ask("GET", f"/jobs/{job}")["status"]["state"] in ("PENDING", "RUNNING")
    ask("POST", f"/jobs/{job}/cancel")
    cancelled = answers.ended(job)
    assert cancelled["status"]["errorResult"]["reason"] == "stopped"
    status, answer = answers("GET", f"/queries/{job}")
    assert (status, reason(answer)) == (499, "stopped")
    assert ask("POST", f"/jobs/{job}/cancel")["job"] == cancelled  # again


def test_long_polls_hold_up_nobody(ask):
    job = query(ask, LONG, timeoutMs=1)["jobReference"]["jobId"]
    told = []
    waiting = threading.Thread(target=lambda: told.append(ask("GET", f"/jobs/{job}")))
    waiting.start()
    assert query(ask, "SELECT 1 AS a")["jobComplete"]
    ask("POST", f"/jobs/{job}/cancel")
    waiting.join()
    assert told


def test_changes_of_the_same_rows_at_once_all_happen(ask, dataset):
    name = dataset.rpartition("/")[2]
    query(ask, f"CREATE TABLE {name}.t AS SELECT 0 AS n")
    changing = [
        threading.Thread(target=lambda: query(ask, f"UPDATE {name}.t SET n = n + 1 WHERE TRUE"))
        for _ in range(8)
    ]
    for one in changing:
        one.start()
    for one in changing:
        one.join()
    assert query(ask, f"SELECT n FROM {name}.t")["rows"] == [{"f": [{"v": "8"}]}]


def test_results_of_no_rows_and_of_none_asked_for(ask):
    assert query(ask, "SELECT 1 AS a LIMIT 0")["rows"] == []
    answer = query(ask, "SELECT 1 AS a", maxResults=0)
    assert "rows" not in answer
    assert answer["totalRows"] == "1"


def test_pages_end_where_the_rows_do(ask):
    answer = query(ask, "SELECT x FROM UNNEST(GENERATE_ARRAY(1, 5)) AS x ORDER BY x", maxResults=2)
    job, seen = answer["jobReference"]["jobId"], list(answer["rows"])
    while token := answer.get("pageToken"):
        answer = ask("GET", f"/queries/{job}", query=f"pageToken={token}&maxResults=2")
        seen += answer["rows"]
    assert [row["f"][0]["v"] for row in seen] == ["1", "2", "3", "4", "5"]
    assert ask("GET", f"/queries/{job}", query="startIndex=9")["rows"] == []


def test_rows_that_are_long_come_in_smaller_pages(ask):
    answer = query(ask, "SELECT REPEAT('x', 1000000) AS s FROM UNNEST(GENERATE_ARRAY(1, 30)) AS x")
    assert 1 <= len(answer["rows"]) < 30
    assert answer["pageToken"] == str(len(answer["rows"]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "configuration"),
        ({"configuration": {}}, "exactly one"),
        ({"configuration": {"query": {"query": "SELECT 1"}, "load": {}}}, "exactly one"),
        ({"configuration": {"query": {}}}, "query"),
        ({"configuration": {"query": {"query": "SELECT 1"}}, "jobReference": {"jobId": "a b"}}, "jobId"),
        ({"configuration": {"query": {"query": "SELECT 1", "queryParameters": [{}]}}}, "parameterType"),
        ({"configuration": {"query": {"query": "SELECT 1"}, "jobTimeoutMs": "soon"}}, "jobTimeoutMs"),
        ({"configuration": {"load": {}}}, "sourceUris"),
        ({"configuration": {"load": {"sourceUris": ["gs://b/o"]}}}, "destinationTable"),
        ({"configuration": {"copy": {}}}, "sourceTables"),
        ({"configuration": {"extract": {}}}, "destinationUris"),
        ({"configuration": {"load": {}, "dryRun": True}}, "dryRun"),
    ],
)
def test_a_job_that_is_none_is_refused_by_field(answers, body, said):
    status, answer = answers("POST", "/jobs", body)
    assert (status, reason(answer)) == (400, "invalid")
    assert said in answer["error"]["message"]


def test_a_change_that_comes_too_late_is_refused(answers, ask, dataset):
    etag = ask("GET", dataset)["etag"]
    assert ask("PATCH", dataset, {"description": "new"}, if_match=etag)["description"] == "new"
    status, answer = answers("PATCH", dataset, {"description": "newer"}, if_match=etag)
    assert (status, reason(answer)) == (412, "conditionNotMet")
    assert ask("PATCH", dataset, {"labels": {"a": "1", "b": "2"}}, if_match="*")["labels"] == {
        "a": "1",
        "b": "2",
    }
    assert ask("PATCH", dataset, {"labels": {"a": None}})["labels"] == {"b": "2"}
    assert "description" not in ask("PUT", dataset, {"labels": {"c": "3"}})


def test_what_many_say_at_once_is_all_said(ask, dataset):
    fields = {"schema": {"fields": [{"name": "a", "type": "INT64"}]}}
    ask("POST", f"{dataset}/tables", {"tableReference": {"tableId": "t"}, **fields})
    saying = [
        threading.Thread(target=ask, args=("PATCH", f"{dataset}/tables/t", {"labels": {f"l{n}": "x"}}))
        for n in range(8)
    ]
    for one in saying:
        one.start()
    for one in saying:
        one.join()
    assert sorted(ask("GET", f"{dataset}/tables/t")["labels"]) == [f"l{n}" for n in range(8)]


def test_lists_come_page_by_page(ask, dataset):
    for n in range(5):
        fields = {"schema": {"fields": [{"name": "a", "type": "INT64"}]}}
        ask("POST", f"{dataset}/tables", {"tableReference": {"tableId": f"t{n}"}, **fields})
    found, token = [], ""
    while True:
        answer = ask("GET", f"{dataset}/tables", query=f"maxResults=2&pageToken={token}")
        found += [one["tableReference"]["tableId"] for one in answer["tables"]]
        if not (token := answer.get("nextPageToken", "")):
            break
    assert found == ["t0", "t1", "t2", "t3", "t4"]
    assert answer["totalItems"] == 5


@pytest.mark.parametrize("name", ["../x", "a/b", "a.b", "", "x" * 2000, "a`b", "\x00", "a\nb"])
def test_names_that_lead_elsewhere_are_none(answers, name):
    for body in (
        {"datasetReference": {"datasetId": name}},
        {"datasetReference": {"datasetId": "ds", "projectId": f"..{name}"}},
    ):
        status, answer = answers("POST", "/datasets", body)
        assert (status, reason(answer)) == (400, "invalid"), body


def test_paths_are_none_that_are_not_in_the_table(answers):
    assert answers.raw("GET", "/bigquery/v2/projects/p/nothing").status == 404
    assert answers.raw("GET", "/bigquery/v2/projects/..%2f/datasets").status in (400, 404)
    assert answers.raw("DELETE", "/bigquery/v2/projects/p/datasets").status == 501
    assert answers.raw("GET", "//bigquery//v2/projects").status == 200


def test_a_body_that_is_no_object_is_refused(answers):
    for body in (b"{", b"[]", b"\xff", b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}"):
        reply = answers.raw("POST", "/bigquery/v2/projects/p/datasets", body)
        assert reply.status == 400, body[:20]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "query", "configuration", "load", "copy", "extract", "destinationTable", "datasetReference", "json",
    "tableReference", "tableId", "schema", "fields", "name", "type", "rows", "labels", "queryParameters",
    "parameterType", "parameterValue", "useLegacySql", "maxResults", "timeoutMs", "jobReference", "datasetId",
]  # fmt: skip
bodies = st.recursive(
    st.sampled_from(["SELECT 1", "INT64", "x", "p", 1, -1, None, True, 1e400, "STRUCT", "ARRAY"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
ROUTES = [(verb, path) for table in (TABLE, WITH_JOBS, OF_JOBS) for verb, path, _ in table]


@given(
    st.sampled_from(ROUTES),
    bodies | json_values,
    st.sampled_from(["", "maxResults=x", "pageToken=-1", "startIndex=1e9"]),
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered(answers, route, body, query):
    verb, path = route
    for part, value in (("{project}", "/projects/p"), ("{dataset}", "ds"), ("{id}", "x")):
        path = path.replace(part, value)
    reply = answers.raw(verb, "/bigquery/v2" + path, json.dumps(body, default=str).encode(), query)
    assert reply.status in (200, 400, 404, 409, 412, 501), reply.body
    json.loads(reply.body)


def test_rows_of_before_are_gone(tmp_path, answers):
    from tests.unit.protocols.bigquery.conftest import Answers

    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "p-old.arrow").write_bytes(b"x")
    other = Answers(tmp_path, answers.api.database)
    assert not (tmp_path / "results").exists()
    text = "SELECT REPEAT('x', 1000) AS s FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS x"
    assert other.ask("POST", "/queries", {"query": text, "useLegacySql": False})["totalRows"] == "20000"
    assert list((tmp_path / "results").iterdir())
    other.close()
    assert not (tmp_path / "results").exists()


def test_a_database_that_cannot_be_opened_is_told_of_and_tried_again(tmp_path, answers):
    from tests.unit.protocols.bigquery.conftest import Answers
    from trivet.core.errors import FailedPrecondition

    tries = []

    def opens():
        tries.append(1)
        if len(tries) == 1:
            raise FailedPrecondition("somebody has it")
        return answers.api.database()

    other = Answers(tmp_path, opens)
    status, answer = other("GET", "/datasets")
    assert (status, answer["error"]["message"]) == (400, "somebody has it")
    assert other("GET", "/datasets")[0] == 200
    other.close()


def test_a_project_is_made_when_something_is_put_into_it(answers):
    def call(method, path, body=None):
        reply = answers.raw(
            method, f"/bigquery/v2/projects{path}", b"" if body is None else json.dumps(body).encode()
        )
        return reply.status, json.loads(reply.body) if reply.body else None

    def there():
        return {one["id"] for one in call("GET", "")[1].get("projects", ())}

    def text(of):
        return {"query": of, "useLegacySql": False}

    assert call("GET", "/fresh/datasets")[1].get("datasets") == []
    for method, path, body in (
        ("GET", "/datasets/ds", None), ("GET", "/datasets/ds/tables", None), ("DELETE", "/datasets/ds", None),
        ("GET", "/datasets/ds/models", None), ("GET", "/datasets/ds/tables/t", None),
        ("POST", "/datasets/ds/tables/t/insertAll", {"rows": [{"json": {"a": 1}}]}),
        ("POST", "/queries", text("SELECT * FROM ds.t")),
    ):  # fmt: skip
        status, answer = call(method, f"/fresh{path}", body)
        assert (status, answer["error"]["message"][:11]) == (404, "Not found: "), (path, answer)
    assert call("POST", "/fresh/queries", text("SELECT 1 AS a"))[1]["rows"] == [{"f": [{"v": "1"}]}]
    views = text("SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA")
    assert call("POST", "/fresh/queries", views)[1]["totalRows"] == "0"
    assert "fresh" not in there()
    assert call("POST", "/fresh/datasets", {"datasetReference": {"datasetId": "ds"}})[0] == 200
    assert "fresh" in there()
