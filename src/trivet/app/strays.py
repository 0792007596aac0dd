"""Processes that this one was given when their parents ended: forks of former loaders, what models left."""

import asyncio
import contextlib
import os
from pathlib import Path

from trivet.app.children import SPAWNED

_REAPS_EVERY = 5.0  # seconds


async def reap() -> None:
    """Take note of their ends, now and then, for ever: until somebody does, they stay as zombies."""
    while True:
        await asyncio.sleep(_REAPS_EVERY)
        with contextlib.suppress(OSError):
            _reap()


def _reap() -> None:
    threads = Path("/proc/self/task").iterdir()
    children = {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}
    for pid in children - SPAWNED:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
