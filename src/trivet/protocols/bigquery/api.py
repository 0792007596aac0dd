"""BigQuery's REST API: from a call to its reply.

The table below is the whole surface; each line names who answers. Those that are given the database are
functions that are run in a thread; the others are awaited in the event loop.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from shutil import rmtree
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar

from trivet.core.errors import Aborted, Internal, InvalidArgument, NotFound, ServingError, Unimplemented
from trivet.protocols.base import Call, Reply, encode_json
from trivet.protocols.bigquery import calls, datasets, inserts, models, places, tables
from trivet.protocols.bigquery.calls import Service
from trivet.protocols.bigquery.errors import ConditionNotMet, refusal
from trivet.protocols.bigquery.jobs import InThread, Jobs
from trivet.protocols.bigquery.uploads import Uploads
from trivet.protocols.bigquery.wire import Asked, Json, read_body, read_query

if TYPE_CHECKING:
    from trivet.sql.database import Database

Handler = Callable[["Database", Asked], Json | Reply]
WithJobs = Callable[["Database", Jobs, Asked], Json | Reply]
OfJobs = Callable[[Service, Asked], Awaitable[Json | Reply]]

T = TypeVar("T")

TABLE: Sequence[tuple[str, str, Handler]] = (
    ("GET", "/projects", places.projects),
    ("GET", "{project}/serviceAccount", places.service_account),
    ("GET", "{project}/datasets", datasets.list_),
    ("POST", "{project}/datasets", datasets.insert),
    ("GET", "{project}/datasets/{dataset}", datasets.get),
    ("PATCH", "{project}/datasets/{dataset}", datasets.patch),
    ("PUT", "{project}/datasets/{dataset}", datasets.update),
    ("DELETE", "{project}/datasets/{dataset}", datasets.delete),
    ("GET", "{project}/datasets/{dataset}/tables", tables.list_),
    ("POST", "{project}/datasets/{dataset}/tables", tables.insert),
    ("PATCH", "{project}/datasets/{dataset}/tables/{id}", tables.patch),
    ("PUT", "{project}/datasets/{dataset}/tables/{id}", tables.update),
    ("DELETE", "{project}/datasets/{dataset}/tables/{id}", tables.delete),
    ("GET", "{project}/datasets/{dataset}/models", models.list_),
    ("GET", "{project}/datasets/{dataset}/models/{id}", models.get),
    ("PATCH", "{project}/datasets/{dataset}/models/{id}", models.patch),
    ("DELETE", "{project}/datasets/{dataset}/models/{id}", models.delete),
    ("GET", "{project}/datasets/{dataset}/routines", places.routines),
    ("GET", "{project}/datasets/{dataset}/routines/{id}", places.routine),
    ("POST", "{project}/datasets/{dataset}/tables/{id}:testIamPermissions", places.test_permissions),
    ("POST", "{project}/datasets/{dataset}/tables/{id}:getIamPolicy", places.policy),
    ("POST", "{project}/datasets/{dataset}/tables/{id}:setIamPolicy", places.policy),
)

WITH_JOBS: Sequence[tuple[str, str, WithJobs]] = (
    ("GET", "{project}/datasets/{dataset}/tables/{id}", tables.get),
    ("GET", "{project}/datasets/{dataset}/tables/{id}/data", tables.list_rows),
)

OF_JOBS: Sequence[tuple[str, str, OfJobs]] = (
    ("POST", "{project}/jobs", calls.insert),
    ("GET", "{project}/jobs", calls.list_),
    ("GET", "{project}/jobs/{id}", calls.get),
    ("POST", "{project}/jobs/{id}/cancel", calls.cancel),
    ("DELETE", "{project}/jobs/{id}/delete", calls.delete),
    ("POST", "{project}/queries", calls.query),
    ("GET", "{project}/queries/{id}", calls.results),
    ("POST", "{project}/datasets/{dataset}/tables/{id}/insertAll", inserts.insert_all),
)

MAX_BODY = 32 << 20
"""Bytes of a call's body that is no upload."""

_PARTS = {"{project}": r"/projects/(?P<project>[^/]+)"}
_BASE = "/bigquery/v2"
_PAUSES = (0.01, 0.03, 0.1, 0.3)
_FAULT = Internal("the process for SQL failed; its log says why")

log = logging.getLogger("trivet")


def _pattern(path: str) -> re.Pattern[str]:
    def part(match: re.Match[str]) -> str:
        return _PARTS.get(match[0]) or rf"(?P<{match[0][1:-1]}>[^/:]+)"

    return re.compile(_BASE + re.sub(r"\{\w+\}", part, path))


class Api:
    """Answers calls to a database, which is opened when it is first needed.

    What fails to open it is told to the caller, and tried again. Rows of results and files that are uploaded
    are in `folder`, which is emptied. `tls` is the `host:port` of the TLS port.
    """

    def __init__(
        self, opens: Callable[[], "Database"], in_thread: InThread, folder: Path, tls: str = ""
    ) -> None:
        self._opens = opens
        self._in_thread = in_thread
        self._opening = Lock()
        self._database: Database | None = None
        rmtree(folder / "results", ignore_errors=True)
        self._service = Service(self.database, in_thread, Jobs(in_thread), folder / "results")
        self._uploads = Uploads(self._service, folder / "uploads", tls)
        self._changing = Lock()
        blocking = [(method, _pattern(path), self._blocking(method, one)) for method, path, one in TABLE]
        with_jobs = [(method, _pattern(path), self._with_jobs(one)) for method, path, one in WITH_JOBS]
        of_jobs = [(method, _pattern(path), self._awaited(one)) for method, path, one in OF_JOBS]
        self._routes = [*blocking, *with_jobs, *of_jobs]

    def database(self) -> "Database":
        """Return the database; raises what keeps it from being opened."""
        with self._opening:
            if self._database is None:
                self._database = self._opens()
            return self._database

    def close(self) -> None:
        """End what runs, and forget what it has given; called by a thread."""
        self._service.jobs.close()
        rmtree(self._service.results, ignore_errors=True)

    async def answer(self, call: Call) -> Reply:
        """Return the reply to a call; every failure is one, in the form of Google's APIs."""
        try:
            call.path = re.sub("/{2,}", "/", call.path)
            return await self._answer(call)
        except ServingError as error:
            return refusal(error)
        except Exception:
            log.exception("the process for SQL failed", extra={"path": call.path})
            return refusal(_FAULT)

    async def _answer(self, call: Call) -> Reply:
        if self._uploads.takes(call.path):
            return await self._uploads.answer(call)
        method = "GET" if call.method == "HEAD" else call.method
        found = [
            (verb, match, one) for verb, path, one in self._routes if (match := path.fullmatch(call.path))
        ]
        if not found:
            raise NotFound(f"there is nothing at {call.path[:200]}")
        for verb, match, handler in found:
            if verb == method:
                if len(call.body) > MAX_BODY:
                    raise InvalidArgument(
                        f"the body: expected at most {MAX_BODY} bytes; got {len(call.body)}"
                    )
                answer = await handler(
                    Asked(
                        parts=match.groupdict(),
                        query=read_query(call.query),
                        body={} if method in ("GET", "DELETE") else read_body(call.body),
                        etag=call.headers.get("if-match", ""),
                    )
                )
                return answer if isinstance(answer, Reply) else Reply(200, encode_json(answer))
        expected = " or ".join(sorted(verb for verb, _, _ in found))
        raise Unimplemented(f"method {call.method} is not allowed at {call.path[:200]}; expected {expected}")

    def _awaited(self, handler: OfJobs) -> Callable[[Asked], Awaitable[Json | Reply]]:
        return lambda asked: handler(self._service, asked)

    def _blocking(self, method: str, handler: Handler) -> Callable[[Asked], Awaitable[Json | Reply]]:
        def work(asked: Asked) -> Json | Reply:
            database = self.database()
            if method == "GET":
                return handler(database, asked)
            with self._changing:  # changes of the same would keep each other from happening
                return _again(lambda: handler(database, asked))

        return lambda asked: self._in_thread(lambda: work(asked))

    def _with_jobs(self, handler: WithJobs) -> Callable[[Asked], Awaitable[Json | Reply]]:
        return lambda asked: self._in_thread(lambda: handler(self.database(), self._service.jobs, asked))


def _again(work: Callable[[], T]) -> T:
    """Do what is done wholly or not at all, anew where another has changed the same meanwhile."""
    for pause in _PAUSES:
        try:
            return work()
        except ConditionNotMet:
            raise
        except Aborted:
            Event().wait(pause)
    return work()
