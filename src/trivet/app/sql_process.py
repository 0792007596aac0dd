"""The process for SQL: BigQuery's API over DuckDB and models. It starts when it is first asked for something.

Whatever a statement, a model or DuckDB itself does to it, the rest of the server goes on.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import uvloop

from trivet.app import logs
from trivet.app.calls import answer_calls
from trivet.app.channel import Channel
from trivet.app.children import Child, Hears, spawn
from trivet.app.messages import AnswerSql, Message, Ready
from trivet.serving.backoff import STABLE_SECONDS, pause
from trivet.serving.offload import apart
from trivet.settings import Settings

if TYPE_CHECKING:
    from trivet.protocols.bigquery.api import Api
    from trivet.sql.database import Database

log = logging.getLogger("trivet")

T = TypeVar("T")

LIBRARIES = ("sqlalchemy", "duckdb", "sqlglot", "pyarrow", "pytz")
"""What it needs, which is an extra."""

_ENDS_WITHIN = 5.0  # seconds
_CLOSES_WITHIN = 3.0


class Sql:
    """The process as the supervisor sees it. It listens for the fronts' calls at `path`, a unix socket's.

    `data` is the folder of the catalog and of tables, `server` the URL of this server, `tls` the `host:port`
    of its TLS port. Without its libraries there is none, and `path` is empty.
    """

    def __init__(self, folder: Path, data: Path, server: str, tls: str = "") -> None:
        self.path = str(folder / "sql.sock") if all(map(find_spec, LIBRARIES)) else ""
        self.settings = Settings()
        self._data = data
        self._server, self._tls = server, tls
        self._listening = socket.socket(socket.AF_UNIX)
        if self.path:
            self._listening.bind(self.path)
            self._listening.listen(256)
        self._hears: Hears
        self._child: Child | None = None
        self._running: asyncio.Task[None] | None = None
        self._failures = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Sql {self._child!r}>"

    def open(self, settings: Settings, hears: Hears) -> None:
        """Start the process as soon as somebody connects, and another one whenever that has ended.

        Each has the `settings` that there are by then.
        """
        self.settings, self._hears = settings, hears
        if self.path:
            self._wait()

    def kill(self) -> None:
        """End the process at once."""
        self._stop()
        if self._child is not None:
            self._child.kill()

    async def close(self) -> None:
        """Let the process end, soon."""
        self._stop()
        if self._child is not None and not self._child.ended.done():
            self._child.channel.finish()
            await asyncio.wait([self._child.ended], timeout=_ENDS_WITHIN)
            self._child.kill()

    def _stop(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            if self._running is not None:
                self._running.cancel()

    def _wait(self) -> None:
        asyncio.get_running_loop().add_reader(self._listening, self._wanted)

    def _wanted(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listening)
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Have a process until it ends; what it leaves unanswered starts the next one."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            child = self._child = await spawn("sql", "sql", self._hears, self._listening)
            child.channel.send(AnswerSql(self.settings, str(self._data), self._server, self._tls))
            how = await asyncio.shield(child.ended)
            log.error(
                "the process for SQL (%d) %s; another takes its place when it is asked for", child.pid, how
            )
        except OSError as error:  # too many processes or files
            log.error("the process for SQL cannot be started: %s", error)
        self._failures = 1 if loop.time() - since >= STABLE_SECONDS else self._failures + 1
        await asyncio.sleep(pause(self._failures))
        self._wait()


def run(control: socket.socket, listening: socket.socket) -> None:
    """Be that process, until the supervisor ends the conversation."""
    uvloop.run(_serve(control, listening))


async def _serve(control: socket.socket, listening: socket.socket) -> None:
    told: asyncio.Queue[AnswerSql | None] = asyncio.Queue()
    over = asyncio.Event()

    def received(message: Message) -> None:
        if isinstance(message, AnswerSql):
            told.put_nowait(message)

    def alone() -> None:
        told.put_nowait(None)
        over.set()

    channel = await Channel.open(control, received, alone, last_word=True)
    asked = await told.get()
    if asked is None:
        return
    logs.configure(asked.settings.log)
    from trivet.protocols.bigquery.api import Api

    opened = ExitStack()
    api = Api(lambda: _database(asked, opened), _in_thread, Path(asked.data) / "sql", asked.tls)
    listening.setblocking(False)
    await asyncio.start_unix_server(
        lambda reader, writer: answer_calls(reader, writer, api.answer), sock=listening
    )
    channel.send(Ready())
    await over.wait()
    try:
        async with asyncio.timeout(_CLOSES_WITHIN):
            await apart(lambda: _close(api, opened), "close")
    except Exception as error:  # noqa: BLE001 - a statement may still run, whatever it was told
        log.info("the process for SQL ends without closing its files: %r", error)
    os._exit(0)  # whatever threads still do: DuckDB bears a sudden end


def _close(api: "Api", opened: ExitStack) -> None:
    api.close()
    opened.close()


def _in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    return apart(call, "sql")


def _database(asked: AnswerSql, opened: ExitStack) -> "Database":
    from trivet.app.sql import open_database

    return opened.enter_context(open_database(asked.settings, Path(asked.data), serves=True))
