"""Statements that Ctrl-C ends: DuckDB itself does not listen for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from trivet.sql.result import Result

if TYPE_CHECKING:
    from trivet.sql.session import Connection

_AGAIN = 5.0  # seconds


class Watch:
    """Runs the statements of a connection on a thread of its own, while the main thread waits for them.

    Statements of other threads, which no signal reaches, are run where they are.
    """

    def __init__(self) -> None:
        self.connection: Callable[[], Connection | None] = lambda: None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="sql")

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Run a statement; raises KeyboardInterrupt when it has ended for that."""
        if threading.current_thread() is not threading.main_thread():
            return run()
        future = self._threads.submit(run)
        try:
            return future.result()
        except KeyboardInterrupt:
            if (connection := self.connection()) is not None:
                connection.interrupt()
            _wait(future)
            raise

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(wait=False)


def _wait(future: "Future[Result]") -> None:
    with suppress(TimeoutError):
        future.exception(_AGAIN)
