import asyncio
import threading

import pytest

from trivet.serving.offload import apart


async def test_a_call_runs_on_a_thread_of_its_own_name():
    assert await apart(lambda: threading.current_thread().name, "mine") == "mine"


async def test_what_a_call_raises_is_raised_where_it_is_awaited():
    with pytest.raises(ZeroDivisionError):
        await apart(lambda: 1 / 0, "mine")


async def test_a_call_that_nobody_awaits_any_more_disturbs_nobody():
    go = threading.Event()
    waiting = apart(go.wait, "mine")
    waiting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await apart(lambda: 7, "mine") == 7
