"""Runs blocking work off the event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def apart(call: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Start a call on a thread of its own; the future has what it returns or raises.

    The thread is a daemon: a call that never ends does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 - whoever awaits the future gets it
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended, and nobody awaits it any more
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
