"""An emulator of BigQuery on loopback: what batch prediction asks, as Google's client puts it on the wire.

It keeps tables in memory, and is strict: what it does not know it refuses, and a value that does not fit its
column fails the load job. Faults are set on it: pages cut short, jobs that take a while or fail, and requests
that are refused or whose answer is lost. See docs/adr for why it is our own.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration import bigquery_values as values

V2 = r"/bigquery/v2/projects/(?P<project>[^/]+)"
TABLES = V2 + r"/datasets/(?P<dataset>[^/]+)/tables"
Answer = tuple[int, Any]
Key = tuple[str, str, str]


class Refused(Exception):
    """An answer that is an error, as Google words it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        error = {"reason": reason, "message": message}
        self.answer = status, {"error": {"code": status, "message": message, "errors": [error]}}


@dataclass
class Emulator:
    """The state of the service, and its faults."""

    url: str = ""
    datasets: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    tables: dict[Key, dict[str, Any]] = field(default_factory=dict)
    rows: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    jobs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    uploads: dict[str, tuple[str, dict[str, Any], bytearray]] = field(default_factory=dict)
    times: Iterator[int] = field(default_factory=lambda: count(int(time.time() * 1000)))
    page: int = 100_000
    """Rows in a page at most, whatever the client asks for."""

    polls: int = 0
    """How often a job is asked for before it is done."""

    failing: list[str] = field(default_factory=list)
    """Reasons for which the next jobs fail."""

    before: Callable[[str], None] = lambda request: None
    """Called with each request before it is answered; may raise Refused."""

    after: Callable[[str], bool] = lambda request: True
    """Called when it was done; the answer is lost where it returns False."""

    def table(self, key: Key) -> dict[str, Any]:
        if key not in self.tables:
            raise Refused(404, "notFound", f"Not found: Table {key[0]}:{key[1]}.{key[2]}")
        return self.tables[key]

    def create(self, key: Key, body: dict[str, Any]) -> dict[str, Any]:
        self.dataset(key[:2])
        if key in self.tables:
            raise Refused(409, "duplicate", f"Already Exists: Table {key[0]}:{key[1]}.{key[2]}")
        project, dataset, table = key
        values.check_schema(body.get("schema", {}).get("fields", []))
        self.rows[key] = []
        self.tables[key] = {
            **body,
            "kind": "bigquery#table",
            "id": f"{project}:{dataset}.{table}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "type": "VIEW" if "view" in body else "TABLE",
            "creationTime": str(next(self.times)),
        }
        self.touch(key)
        return self.tables[key]

    def touch(self, key: Key) -> None:
        """Let a table be one that has changed."""
        rows = self.rows[key]
        about = {"numRows": str(len(rows)), "numBytes": str(len(json.dumps(rows)))}
        now = str(next(self.times))
        self.tables[key].update(about, lastModifiedTime=now, etag=f"etag-{now}")

    def dataset(self, key: tuple[str, str]) -> dict[str, Any]:
        if key not in self.datasets:
            raise Refused(404, "notFound", f"Not found: Dataset {key[0]}:{key[1]}")
        return self.datasets[key]

    def put(self, name: str, fields: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
        """Put a table there, beside the wire; `name` is PROJECT.DATASET.TABLE."""
        key: Key = tuple(name.split("."))  # type: ignore[assignment]
        self.datasets.setdefault(key[:2], _dataset(key[:2], {}))
        self.tables.pop(key, None)
        self.create(key, {"schema": {"fields": fields}})
        self.rows[key] = rows
        self.touch(key)

    def names(self) -> list[str]:
        """Return all tables, as DATASET.TABLE."""
        return sorted(f"{dataset}.{table}" for _, dataset, table in self.tables)

    def run(self, project: str, job: dict[str, Any], content: bytes | None = None) -> Answer:
        """Do a job, unless there is one of its id."""
        reference = job["jobReference"]
        key = project, reference["jobId"]
        if key in self.jobs:
            raise Refused(409, "duplicate", f"Already Exists: Job {project}:{key[1]}")
        kind = next(iter(set(job["configuration"]) & {"load", "copy"}), None)
        if kind is None:
            raise Refused(501, "notImplemented", f"jobs of this kind: {list(job['configuration'])}")
        done = {
            **job,
            "kind": "bigquery#job",
            "id": f"{project}:US.{key[1]}",
            "jobReference": {**reference, "location": "US"},
            "statistics": {"creationTime": str(next(self.times))},
            "status": {"state": "DONE"},
            "polls": self.polls,
        }
        try:
            if self.failing:
                raise Refused(500, self.failing.pop(0), "something failed")
            if kind == "load":
                self._load(project, job["configuration"]["load"], content)
            else:
                self._copy(job["configuration"]["copy"])
        except Refused as error:
            told = error.answer[1]["error"]["errors"][0]
            done["status"] = {"state": "DONE", "errorResult": told, "errors": [told]}
        self.jobs[key] = done
        return self.look(key)

    def look(self, key: tuple[str, str]) -> Answer:
        """Say how far a job is."""
        if key not in self.jobs:
            raise Refused(404, "notFound", f"Not found: Job {key[0]}:{key[1]}")
        job = self.jobs[key]
        shown = {name: value for name, value in job.items() if name != "polls"}
        if job["polls"] > 0:
            job["polls"] -= 1
            shown["status"] = {"state": "RUNNING"}
        return 200, shown

    def _destination(self, about: dict[str, Any], schema: Any) -> Key:
        key = _key(about["destinationTable"])
        if key not in self.tables:
            if about.get("createDisposition", "CREATE_IF_NEEDED") != "CREATE_IF_NEEDED":
                self.table(key)
            self.create(key, {"schema": schema})
        disposition = about["writeDisposition"]
        if disposition == "WRITE_EMPTY" and self.rows[key]:
            raise Refused(400, "duplicate", f"Already Exists: Table {key[2]}")
        if disposition == "WRITE_TRUNCATE":
            self.rows[key] = []
        return key

    def _load(self, project: str, about: dict[str, Any], content: bytes | None) -> None:
        if content is None or about["sourceFormat"] != "NEWLINE_DELIMITED_JSON":
            raise Refused(501, "notImplemented", "only loads of newline-delimited JSON from a file")
        schema = about.get("schema") or self.table(_key(about["destinationTable"]))["schema"]
        loaded = [values.checked(json.loads(line), schema["fields"]) for line in content.splitlines()]
        wrong = [one for one in loaded if isinstance(one, str)]
        if wrong:
            raise Refused(400, "invalid", f"Error while reading data, error message: {wrong[0]}")
        key = self._destination(about, schema)
        self.rows[key] = [*self.rows[key], *loaded]
        self.touch(key)

    def _copy(self, about: dict[str, Any]) -> None:
        source = _key(about["sourceTables"][0] if "sourceTables" in about else about["sourceTable"])
        key = self._destination(about, self.table(source)["schema"])
        self.rows[key] = [*self.rows[key], *self.rows[source]]
        self.touch(key)


def _key(reference: dict[str, str]) -> Key:
    return reference["projectId"], reference["datasetId"], reference["tableId"]


def _dataset(key: tuple[str, str], body: dict[str, Any]) -> dict[str, Any]:
    reference = {"projectId": key[0], "datasetId": key[1]}
    return {**body, "kind": "bigquery#dataset", "id": ":".join(key), "datasetReference": reference,
            "location": "US"}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers one request after the other, all under one lock."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one go: two wait for each other
    server: "Server"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle_one(self) -> None:
        url = urlsplit(self.path)
        query = {name: found[-1] for name, found in parse_qs(url.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        emulator, request = self.server.emulator, f"{self.command} {url.path}"
        headers: dict[str, str] = {}
        with self.server.lock:
            emulator.requests.append(request)
            try:
                emulator.before(request)
                status, answer = self._answer(url.path, query, content, headers)
            except Refused as error:
                status, answer = error.answer
            there = emulator.after(request)
        if not there:
            self.close_connection = True
            return
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_one

    def _answer(self, path: str, query: dict[str, str], content: bytes, headers: dict[str, str]) -> Answer:
        emulator = self.server.emulator
        if path.startswith("/upload/"):
            return self._upload(path, query, content, headers)
        body = json.loads(content) if content else {}
        for method, pattern, answer in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                return answer(emulator, found.groupdict(), query, body)
        raise Refused(501, "notImplemented", f"{self.command} {path}")

    def _upload(self, path: str, query: dict[str, str], content: bytes, headers: dict[str, str]) -> Answer:
        emulator = self.server.emulator
        if self.command == "PUT":
            project, job, kept = emulator.uploads[query["upload_id"]]
            kept += content
            total = self.headers["Content-Range"].rpartition("/")[2]
            if total == "*" or len(kept) < int(total):
                headers["Range"] = f"bytes=0-{len(kept) - 1}"
                return 308, None
            return emulator.run(project, job, bytes(kept))
        project = re.fullmatch("/upload" + V2 + "/jobs", path)["project"]  # type: ignore[index]
        if query["uploadType"] == "resumable":
            upload = str(len(emulator.uploads))
            emulator.uploads[upload] = project, json.loads(content), bytearray()
            headers["Location"] = f"{emulator.url}{path}?uploadType=resumable&upload_id={upload}"
            return 200, {}
        envelope = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        about, media = BytesParser().parsebytes(envelope + content).get_payload()
        # the parser of mail takes other line ends for its own; the bytes themselves are cut out
        boundary = re.search(r"boundary=\"?([^\";]+)", self.headers["Content-Type"])[1]  # type: ignore[index]
        raw = content.split(b"--" + boundary.encode())[2].partition(b"\r\n\r\n")[2][:-2]
        assert media.get_content_type()
        return emulator.run(project, json.loads(about.get_payload()), raw)


def _get_rows(emulator: Emulator, at: dict[str, str], query: dict[str, str], body: Any) -> Answer:
    key = at["project"], at["dataset"], at["table"]
    table = emulator.table(key)
    if table["type"] == "VIEW":
        raise Refused(400, "invalid", "Cannot list a table of type VIEW.")
    start = int(query.get("pageToken") or query.get("startIndex") or 0)
    every = emulator.rows[key]
    stop = min(start + min(int(query.get("maxResults") or emulator.page), emulator.page), len(every))
    micros = query.get("formatOptions.useInt64Timestamp", "").lower() == "true"
    rows = [values.on_wire(row, table["schema"]["fields"], micros=micros) for row in every[start:stop]]
    answer = {"kind": "bigquery#tableDataList", "totalRows": str(len(every)), "rows": rows}
    return 200, {**answer, "pageToken": str(stop)} if stop < len(every) else answer


def _insert_all(emulator: Emulator, at: dict[str, str], query: dict[str, str], body: Any) -> Answer:
    key = at["project"], at["dataset"], at["table"]
    fields = emulator.table(key)["schema"]["fields"]
    emulator.rows[key] = emulator.rows[key] + [values.checked(row["json"], fields) for row in body["rows"]]
    emulator.touch(key)
    return 200, {}


def _put_dataset(emulator: Emulator, at: dict[str, str], query: dict[str, str], body: Any) -> Answer:
    key = at["project"], body["datasetReference"]["datasetId"]
    if key in emulator.datasets:
        raise Refused(409, "duplicate", f"Already Exists: Dataset {':'.join(key)}")
    emulator.datasets[key] = _dataset(key, body)
    return 200, emulator.datasets[key]


def _put_table(emulator: Emulator, at: dict[str, str], query: dict[str, str], body: Any) -> Answer:
    return 200, emulator.create((at["project"], at["dataset"], body["tableReference"]["tableId"]), body)


def _delete_table(emulator: Emulator, at: dict[str, str], query: dict[str, str], body: Any) -> Answer:
    key = at["project"], at["dataset"], at["table"]
    emulator.table(key)
    del emulator.tables[key], emulator.rows[key]
    return 204, None


ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", TABLES + r"/(?P<table>[^/]+)/data", _get_rows),
    ("POST", TABLES + r"/(?P<table>[^/]+)/insertAll", _insert_all),
    ("GET", TABLES + r"/(?P<table>[^/]+)",
     lambda emulator, at, query, body: (200, emulator.table((at["project"], at["dataset"], at["table"])))),
    ("DELETE", TABLES + r"/(?P<table>[^/]+)", _delete_table),
    ("POST", TABLES, _put_table),
    ("POST", V2 + "/datasets", _put_dataset),
    ("GET", V2 + r"/datasets/(?P<dataset>[^/]+)",
     lambda emulator, at, query, body: (200, emulator.dataset((at["project"], at["dataset"])))),
    ("POST", V2 + "/jobs", lambda emulator, at, query, body: emulator.run(at["project"], body)),
    ("GET", V2 + r"/jobs/(?P<job>[^/]+)",
     lambda emulator, at, query, body: emulator.look((at["project"], at["job"]))),
]  # fmt: skip


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.emulator = Emulator(url=f"http://127.0.0.1:{self.server_address[1]}")


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Run the emulator, with nothing in it; Google's client finds it by the environment."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.emulator.url)
        try:
            yield server.emulator
        finally:
            server.shutdown()
            thread.join()
