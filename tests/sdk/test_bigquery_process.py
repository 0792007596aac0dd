"""How BigQuery's client finds the SQL of a server, and what happens when its process is gone."""

import io
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJobConfig

from tests.integration.server import serve, up
from tests.sdk.place import ECHO
from tests.sdk.tables import serving

LOOKS = 0.02
WITHIN = 20.0

LONG = (
    "SELECT count(*) FROM UNNEST(GENERATE_ARRAY(1, 3000000)) a "
    "JOIN UNNEST(GENERATE_ARRAY(1, 3000000)) b ON a < b"
)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server of this module's own, whose processes are ended."""
    with serving(tmp_path_factory.mktemp("own"), TRIVET_SERVER_WORKERS="2") as found:
        yield found


def process(data):
    """Return the number of the process for SQL of a server, if it runs."""
    server = json.loads((data / "server.json").read_text())["pid"]
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == server and b"sql" in told:
            return int(entry.name)
    return None


def wait_for(look):
    until = time.monotonic() + WITHIN
    while not (found := look()):
        assert time.monotonic() < until
        signal.sigtimedwait([], LOOKS)
    return found


def test_the_process_starts_when_it_is_asked_and_another_when_it_has_ended(own):
    assert process(own.data) is None
    assert httpx.get(own.http + "/v1/models").status_code == 200
    with own.client("p") as client:
        assert [row["a"] for row in client.query("SELECT 1 AS a").result()] == [1]
        client.create_dataset("ds")
        client.query("CREATE TABLE ds.t AS SELECT 7 AS a").result()
        first = process(own.data)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: process(own.data) != first)
        assert [one.dataset_id for one in client.list_datasets()] == ["ds"]  # asked again until it is there
        assert [row["a"] for row in client.query("SELECT a FROM ds.t").result()] == [7]  # which was kept
        assert process(own.data) not in (None, first)
        assert httpx.get(own.http + "/livez").status_code == 200


def test_who_waits_for_a_process_that_ends_is_told(own):
    with own.client("p") as client:
        job = client.query(LONG)
        os.kill(process(own.data), signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(exceptions.NotFound, match="Not found: Job"):
            job.result()
        assert time.monotonic() - began < WITHIN
        assert [row["a"] for row in client.query("SELECT 1 AS a").result()] == [1]


def test_a_query_that_ends_the_process_is_not_run_again(own):
    """The client would do so for ten minutes where it is told that the server is not available."""
    with own.client("p") as client:
        began, number = time.monotonic(), process(own.data)

        def end():
            wait_for(lambda: list(client.list_jobs(state_filter="running")))
            os.kill(number, signal.SIGKILL)

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(exceptions.GoogleAPICallError, match="ended before it answered"):
            client.query_and_wait(LONG)
        thread.join()
        assert time.monotonic() - began < WITHIN


def test_another_process_that_has_the_tables_is_named(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    (tmp_path / "sql").mkdir()
    holder = duckdb.connect(str(tmp_path / "sql" / "p.duckdb"))
    with up(tmp_path, TRIVET_SERVER_WORKERS="1") as server:
        client = Client(
            project="p", client_options={"api_endpoint": server.url}, credentials=AnonymousCredentials()
        )
        with client:
            with pytest.raises(exceptions.BadRequest, match=str(os.getpid())):
                list(client.list_datasets())
            holder.close()
            assert list(client.list_datasets()) == []
        assert server.stop() == 0


def test_a_server_without_a_catalog_says_where_sql_is(tmp_path):
    (tmp_path / "predictor.py").write_text(ECHO)
    with serve(str(tmp_path)) as server:
        answer = server.client.get("/bigquery/v2/projects/p/datasets")
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (501, "notImplemented")
        assert "trivet up" in answer.json()["error"]["message"]
        assert server.stop() == 0


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
def test_pages_of_others_may_not_ask(own, headers):
    answer = httpx.get(own.http + "/bigquery/v2/projects/p/datasets", headers=headers)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (403, "accessDenied")


def test_callers_on_other_machines_may_not_ask(tmp_path):
    address = socket.gethostbyname(socket.gethostname())
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    with up(tmp_path, TRIVET_SERVER_WORKERS="1", TRIVET_SERVER_HOST="0.0.0.0") as server:
        url = server.url.replace("0.0.0.0", address) + "/bigquery/v2/projects/p/datasets"
        answer = httpx.get(url)
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (403, "accessDenied")
        assert "catalog.remote" in answer.json()["error"]["message"]
        assert server.stop() == 0


def test_the_client_finds_it_by_tls_and_through_the_proxy(own, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", own.bundle)
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)

    def check(client):
        with client:
            assert [row["a"] for row in client.query("SELECT 1 AS a").result()] == [1]
            client.create_dataset("tls", exists_ok=True)
            content = io.BytesIO(b'{"a": 1}\n{"a": 2}\n')  # of unknown size: the server says where it goes
            config = LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", autodetect=True)
            job = client.load_table_from_file(content, "tls.t", job_config=config)
            assert job.result(retry=None).output_rows == 2

    options = {"api_endpoint": f"https://{own.tls}"}
    check(Client(project="p", client_options=options, credentials=AnonymousCredentials()))
    monkeypatch.setenv("HTTPS_PROXY", own.proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    check(Client(project="p", credentials=AnonymousCredentials()))  # of bigquery.googleapis.com
