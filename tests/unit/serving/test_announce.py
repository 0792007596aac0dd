"""What a keeper tells of its application, over a real unix socket."""

import asyncio

from tests.unit.serving.processes import listen, on_both_loops, soon, until
from trivet.containers.life import State
from trivet.serving.announce import Announcer, Listener

WELL, ILL = State(1234, well=True), State(1234, well=False, reason="no answer")


async def announcer(listening, state=WELL):
    made = Announcer(state)
    await made.start(listening.dup())
    return made


@on_both_loops
async def test_everybody_hears_how_it_is_and_what_changes(tmp_path):
    with listen(tmp_path / "a") as listening:
        keeper = await announcer(listening)
        told = [asyncio.Queue(), asyncio.Queue()]
        listeners = [Listener(tmp_path / "a", one.put_nowait) for one in told]
        assert [await soon(one.get()) for one in told] == [WELL, WELL]
        assert repr(keeper) == f"<Announcer {WELL}, 2 listen>"
        keeper.tell(ILL)
        assert [await soon(one.get()) for one in told] == [ILL, ILL]
        assert not keeper.alone.is_set()
        for one in listeners:
            one.close()
        await soon(keeper.alone.wait())
        assert all(one.empty() for one in told)
        keeper.stop()


@on_both_loops
async def test_the_last_word_arrives_and_the_next_keeper_is_found(tmp_path):
    with listen(tmp_path / "a") as listening:
        keeper = await announcer(listening)
        told = asyncio.Queue()
        listener = Listener(tmp_path / "a", told.put_nowait)
        assert await soon(told.get()) == WELL
        keeper.tell(State(1234, well=False, over=True, reason="it ended"))
        keeper.stop()
        assert (await soon(told.get())).reason == "it ended"
        assert await soon(told.get()) is None
        keeper = await announcer(listening, ILL)
        assert await soon(told.get()) == ILL
        listener.close()
        await until(keeper.alone.is_set)
        keeper.stop()


@on_both_loops
async def test_a_listener_is_there_before_the_keeper(tmp_path):
    told = asyncio.Queue()
    listener = Listener(tmp_path / "a", told.put_nowait)
    await asyncio.sleep(0.03)
    with listen(tmp_path / "a") as listening:
        keeper = await announcer(listening)
        assert await soon(told.get()) == WELL
        listener.close()
        await soon(keeper.alone.wait())
        keeper.stop()
