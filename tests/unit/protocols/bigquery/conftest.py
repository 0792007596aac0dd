"""BigQuery's API over a database on disk, called without a server."""

import asyncio
import json
import threading

import pytest

from trivet.protocols.base import Call
from trivet.settings import Settings, Sql

pytest.importorskip("duckdb")
pytest.importorskip("sqlglot")


class Answers:
    """Calls the API; what blocks runs in threads, as in the process for SQL."""

    def __init__(self, folder, opens):
        from trivet.protocols.bigquery.api import Api

        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.api = self.run(self._made(Api, opens, folder))

    async def _made(self, api, opens, folder):
        return api(opens, asyncio.to_thread, folder, "localhost:8443")

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def raw(self, method, path, body=b"", query="", address="http://127.0.0.1:8080", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.run(self.api.answer(Call(method, path, query, named, body, address, address)))

    def __call__(self, method, path, body=None, query="", **headers):
        content = b"" if body is None else json.dumps(body).encode()
        reply = self.raw(method, f"/bigquery/v2/projects/p{path}", content, query, **headers)
        return reply.status, json.loads(reply.body) if reply.body else None

    def ask(self, method, path, body=None, query="", **headers):
        status, answer = self(method, path, body, query, **headers)
        assert status == 200, answer
        return answer

    def ended(self, job):
        """Return a job once it is over."""
        while (found := self.ask("GET", f"/jobs/{job}"))["status"]["state"] != "DONE":
            self.raw("GET", f"/bigquery/v2/projects/p/queries/{job}", query="timeoutMs=100")
        return found

    async def _settled(self):
        jobs = self.api._service.jobs
        for job in jobs:
            jobs.stop(job)
        while jobs._tasks:
            await asyncio.wait(jobs._tasks)

    def close(self):
        self.api.close()
        self.run(self._settled())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return the API; tests of a module share it."""
    from trivet.app.sql import open_database

    folder = tmp_path_factory.mktemp("data")
    settings = Settings(sql=Sql(folders=(str(folder),)))
    with open_database(settings, folder, serves=True) as database:
        found = Answers(folder / "sql", lambda: database)
        yield found
        found.close()


@pytest.fixture
def ask(answers):
    """Return a function that calls the API about project p, and expects an answer."""
    return answers.ask


@pytest.fixture
def dataset(answers, request):
    """Return the path of a dataset of the test's own."""
    name = f"ds_{abs(hash(request.node.nodeid))}"
    answers.ask("POST", "/datasets", {"datasetReference": {"datasetId": name}})
    return f"/datasets/{name}"
