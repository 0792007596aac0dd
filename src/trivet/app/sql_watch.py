"""Statements that Ctrl-C ends: DuckDB itself does not listen for it."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from trivet.sql.result import Result

if TYPE_CHECKING:
    from trivet.sql.session import Connection

_AGAIN = 0.2  # seconds
"""DuckDB forgets an interrupt that comes just before a statement begins, and is told again."""

_MOST = 5.0  # seconds
"""What does not listen by then, as a file that is copied, has KeyboardInterrupt raised in it."""


class Watch:
    """Runs the statements of a connection in the main thread, and interrupts them at Ctrl-C.

    Python calls its handlers of signals between two of its own steps, of which there are none while DuckDB
    works, but writes each signal to a file descriptor at once: a thread reads that, and interrupts the
    connection. To hand each statement to a thread, which is simpler, would cost what waking two threads does:
    a tenth of a millisecond, and ten times that where the machine is busy.
    """

    def __init__(self) -> None:
        self.connection: Callable[[], Connection | None] = lambda: None
        self._ears: _Ears | None = None
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Run a statement; raises KeyboardInterrupt when it has ended for that.

        Statements of other threads, which no signal reaches, are run where they are, without more.
        """
        if threading.current_thread() is not threading.main_thread():
            return run()
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # Ctrl-C is ignored, or ends the process
            return run()
        if handler is not signal.default_int_handler:
            return self._elsewhere(run)
        if self._ears is None:
            self._ears = _Ears(self.connection)
        own = self._ears.number
        before = signal.set_wakeup_fd(own, warn_on_full_buffer=False)
        if before not in (-1, own):  # an event loop's, which has to learn of other signals meanwhile
            signal.set_wakeup_fd(before)
            return self._elsewhere(run)
        try:
            with _pressed_later():
                return run()
        except KeyboardInterrupt:
            self._ears.close()  # with what they have not yet heard, which is not for the next statement
            self._ears = None
            raise
        finally:
            signal.set_wakeup_fd(-1)

    def close(self) -> None:
        """End the threads."""
        if self._ears is not None:
            self._ears.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def _elsewhere(self, run: Callable[[], Result]) -> Result:
        """Run a statement in a thread, while the main thread is there for a handler of somebody else's."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="sql")
        future = self._threads.submit(run)
        try:
            return future.result()
        except KeyboardInterrupt:
            if (connection := self.connection()) is not None:
                connection.interrupt()
            with suppress(TimeoutError):
                future.exception(_MOST)
            raise


class _Ears:
    """Interrupts what runs, from the first SIGINT written to the file descriptor `number` until `close`."""

    def __init__(self, connection: "Callable[[], Connection | None]") -> None:
        self._connection = connection
        self._closed = threading.Condition()
        self._open = True
        self._reads, self._writes = socket.socketpair()
        self._writes.setblocking(False)
        self.number = self._writes.fileno()
        threading.Thread(target=self._listen, name="ctrl-c", daemon=True).start()

    def close(self) -> None:
        """Interrupt nothing any more."""
        with self._closed:
            self._open = False
            self._closed.notify()
        self._writes.close()

    def _listen(self) -> None:
        with self._reads:
            while heard := self._reads.recv(64):
                if signal.SIGINT in heard:
                    self._interrupt()

    def _interrupt(self) -> None:
        """Interrupt it until it has ended; after `_MOST`, have KeyboardInterrupt raised in it."""
        with self._closed:
            for _ in range(round(_MOST / _AGAIN)):
                if not self._open or (connection := self._connection()) is None:
                    return
                connection.interrupt()
                del connection  # so that it can be forgotten meanwhile
                self._closed.wait(_AGAIN)
            if self._open and (main := threading.main_thread().ident) is not None:
                signal.pthread_kill(main, signal.SIGINT)


@contextmanager
def _pressed_later() -> Iterator[None]:
    """At Ctrl-C, raise KeyboardInterrupt when what is done within has ended, so that it leaves all whole.

    The second time it is raised at once: what is done does not listen.
    """
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if pressed:
            raise KeyboardInterrupt from None
