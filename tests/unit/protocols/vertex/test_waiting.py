import asyncio
import threading

import pytest

from trivet.protocols.vertex.waiting import InFewThreads, Watches


async def test_few_are_in_threads_at_once_also_when_callers_leave():
    inside, most, go_on, lock = 0, 0, threading.Event(), threading.Lock()

    def work():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        go_on.wait(10)
        with lock:
            inside -= 1
        return most

    few = InFewThreads(asyncio.to_thread, 2)
    callers = [asyncio.ensure_future(few(work)) for _ in range(6)]
    while inside < 2:  # noqa: ASYNC110 - threads tell nobody
        await asyncio.sleep(0.001)
    callers[0].cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*callers[1:]) == [2] * 5


async def test_what_cannot_be_begun_leaves_room():
    def no_thread(work):
        raise RuntimeError("can't start new thread")

    few = InFewThreads(no_thread, 1)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(few(int), 1)


async def test_what_a_look_raises_all_who_wait_are_told():
    async def changed(seconds):
        await asyncio.sleep(seconds)

    def look():
        raise LookupError

    watches = Watches(asyncio.to_thread, changed)
    told = await asyncio.gather(*(watches.until(1, look, 5) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [LookupError] * 3
    assert await watches.until(1, lambda: None, 0.02) is None
    assert await watches.until(1, lambda: "x", 5) == "x"
