"""Fronts for tests: processes forked from this one, which listen, and hand over, as they are told."""

import asyncio
import gc
import json
import os
import select
import signal
import socket
import traceback
from collections import Counter
from contextlib import contextmanager, suppress
from itertools import count
from time import monotonic

import uvloop

from tests.unit.http.fakes import Waiting
from trivet.http.handover import KIND
from trivet.http.server import HttpServer
from trivet.protocols.base import JSON
from trivet.serving.plane import DataPlane
from trivet.settings import Limits, Log
from trivet.telemetry import Metrics

WITHIN = 20.0  # seconds; a bound for hangs, not a measurement


class _Marks:
    """A protocol whose answers begin with the number of the process; what is written to `later` waits."""

    def __init__(self, number):
        self.number = number
        self.waiting = []

    def hot(self, path):
        return self if path in ("/hot", "/later", "/large") else None

    def answer(self, caller, head, body, now):
        answer = b"%d:%b" % (self.number, body)
        if head.path == "/later":
            self.waiting.append(Waiting(caller, answer))
            return self.waiting[-1]
        caller.reply(200, JSON, answer.ljust(8 << 20) if head.path == "/large" else answer)
        return None


class _Child:
    """What runs in the process."""

    def __init__(self, number, control, listening, limits):
        self.control, self.listening = control, listening
        self.marks = _Marks(number)
        self.released = asyncio.Event()
        log = Log(requests="none")
        self.server = HttpServer(DataPlane(Metrics()), [self.marks], self.app, Limits(**limits), log)
        self.over = asyncio.Event()
        self.tasks = {}

    async def run(self):
        asyncio.get_running_loop().add_reader(self.control, self.told)
        await self.over.wait()
        asyncio.get_running_loop().remove_reader(self.control)
        self.server.stop_listening()
        self.server.abort()

    def told(self):
        try:
            message, given, _, _ = socket.recv_fds(self.control, 4096, 1)
        except ConnectionResetError:
            message, given = b"", []  # the test has ended without reading everything
        if not message:
            self.over.set()
            return
        number, verb, arguments = json.loads(message)
        arguments += [socket.socket(fileno=one) for one in given]
        self.tasks[number] = asyncio.create_task(self.do(number, getattr(self, verb), arguments))

    async def do(self, number, verb, arguments):
        try:
            answer = [True, await verb(*arguments)]
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the test is told
            answer = [False, repr(error)]
        del self.tasks[number]
        with suppress(BrokenPipeError):
            self.control.send(json.dumps([number, *answer]).encode())

    # What the test says.

    async def listen(self):
        await self.server.listen(self.listening)

    async def stop_listening(self):
        self.server.stop_listening()

    async def take_over(self, given):
        await self.server.take_over(given)

    async def hand_over(self, to):
        await self.server.hand_over(to)
        return monotonic()

    async def retire(self, idle_for, within):
        await self.server.retire(idle_for, within)

    async def cancel(self, number):
        self.tasks[number].cancel()

    async def release(self):
        self.released.set()
        waiting, self.marks.waiting = self.marks.waiting, []
        for one in waiting:
            one.caller.reply(200, JSON, one.body)

    async def counts(self):
        connections = self.server._connections
        return {
            "states": Counter(one.state for one in connections),
            "buffered": sum(len(one._buffer) for one in connections),
            "gathered": sum(len(one._body._body) for one in connections if one._body),
            "ended": sum(one._ended for one in connections),
            "high_water": max(
                (one._transport.get_write_buffer_limits()[1] for one in connections), default=0
            ),
            "waiting": len(self.marks.waiting),
            "sockets": sum(map(_is_socket, os.listdir("/proc/self/fd"))),
        }

    async def app(self, scope, receive, send):
        """Answer in two parts; the second of a stream comes after `release`, that of others soon."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        peer = f"{self.marks.number}:{scope['client'][1]} ".encode()
        await send({"type": "http.response.body", "body": peer, "more_body": True})
        if scope["path"] == "/stream":
            await self.released.wait()
        else:
            await asyncio.sleep(0.002)
        await send({"type": "http.response.body", "body": scope["method"].encode()})


def _is_socket(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except OSError:
        return False  # it was the listing's own


class Front:
    """One such process, from outside. Verbs are those of `_Child`."""

    def __init__(self, number, listening, limits):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, KIND)
        self.control.settimeout(WITHIN)
        self._numbers, self._answers = count(), {}
        self.pid = os.fork()
        if self.pid == 0:
            self._run(number, theirs, listening, limits)
        theirs.close()

    @staticmethod
    def _run(number, control, listening, limits):
        status = 1
        try:
            gc.freeze()  # nothing of the parent's may be closed from here
            keep = {0, 1, 2, control.fileno(), listening.fileno()}
            for one in set(map(int, os.listdir("/proc/self/fd"))) - keep:
                with suppress(OSError):  # it was the listing's own
                    os.close(one)

            async def serve():
                await _Child(number, control, listening, limits).run()

            uvloop.run(serve())
            status = 0
        except BaseException:  # noqa: BLE001 - nothing of the parent's may go on here
            traceback.print_exc()
        finally:
            os._exit(status)

    def start(self, verb, *arguments, give=()):
        """Say something; its number, with which `result` waits for the answer."""
        number = next(self._numbers)
        message = json.dumps([number, verb, arguments]).encode()
        if give:
            socket.send_fds(self.control, [message], [one.fileno() for one in give])
            for one in give:
                one.close()
        else:
            self.control.send(message)
        return number

    def result(self, number):
        while number not in self._answers:
            answered, good, value = json.loads(self.control.recv(1 << 16))
            self._answers[answered] = good, value
        good, value = self._answers.pop(number)
        if not good:
            raise RuntimeError(value)
        return value

    def is_done(self, number):
        while number not in self._answers and select.select([self.control], [], [], 0)[0]:
            answered, good, value = json.loads(self.control.recv(1 << 16))
            self._answers[answered] = good, value
        return number in self._answers

    def tell(self, verb, *arguments):
        return self.result(self.start(verb, *arguments))

    def begin_hand_over(self, to):
        """Let this one hand over, and the other take over; their two numbers."""
        given, taken = socket.socketpair(socket.AF_UNIX, KIND)
        takes = to.start("take_over", give=[taken])
        return self.start("hand_over", give=[given]), takes

    def hand_over(self, to):
        """Do that; when it was done, and the number of the taking over, which goes on."""
        hands, takes = self.begin_hand_over(to)
        return self.result(hands), takes

    def until(self, **wanted):
        """Wait until the counts are these, or in these ranges; states by their names."""
        ends = monotonic() + WITHIN
        while True:
            counts = self.tell("counts")
            got = {one: counts[one] if one in counts else counts["states"].get(one, 0) for one in wanted}
            if all(got[one] in (n if isinstance(n, range) else (n,)) for one, n in wanted.items()):
                return
            assert monotonic() < ends, (counts, wanted)
            select.select([self.control], [], [], 0.002)  # for this long it would be asked in vain

    def connections(self):
        return sum(self.tell("counts")["states"].values())

    def kill(self):
        """End it without a word."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None

    def end(self):
        """End it; whether it had no fault."""
        self.control.close()
        if self.pid is None:
            return True
        status = os.waitpid(self.pid, 0)[1]
        return status == 0


@contextmanager
def stopped(front):
    """Let a front do nothing for a while."""
    os.kill(front.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(front.pid, signal.SIGCONT)


class Place:
    """An address, and the fronts that serve it one after the other."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listening.setblocking(False)
        self.url = "http://{}:{}".format(*self.listening.getsockname())
        self.fronts = []

    def fork(self, number, **limits):
        """Fork fronts, before there are any connections; the first one listens."""
        self.fronts = [Front(one, self.listening, limits) for one in range(number)]
        self.fronts[0].tell("listen")
        return self.fronts

    def end(self):
        self.listening.close()
        assert all([front.end() for front in self.fronts])
