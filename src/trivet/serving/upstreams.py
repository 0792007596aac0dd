"""The applications of one deployed model, as a front sees them: it asks each directly, over HTTP.

How each is, its keeper says (`announce`); starting it, and another in its place, is the supervisor's. What
is asked waits here while no application is well, until whoever asked forgets it. Everything runs in one event
loop; that something is asked costs no task, unless a connection must be opened for it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from os import PathLike

from trivet.containers.life import State
from trivet.core.errors import Internal, Unavailable
from trivet.serving.announce import Listener
from trivet.serving.asks import Ask
from trivet.serving.upstream import Connection, Reader

_TELLS_WITHIN = 1.0
"""Seconds in which a keeper says that its application has ended, after a connection to that broke."""

_KNOWN_WITHIN = 0.15
"""Seconds before an application is asked again whose connection broke: by then one is told if it ended."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds for which an application that refuses connections is asked nothing."""

_SPARE = 8
"""Connections that are kept beyond as many as are in use."""

_REMOVED = "this model is being removed"


class Upstreams:
    """Gives what is asked to the application that has the least to do, each at most so many at once.

    Must be made in the event loop. At `paths` keepers say how their applications are. A repeatable ask whose
    connection broke is sent once more.
    """

    def __init__(self, paths: Sequence[str | PathLike[str]], each: int) -> None:
        self.each = each
        self.closed = False
        self.waiting: deque[Ask] = deque()
        self._resting: dict[Ask, None] = {}
        self._any = asyncio.Event()
        self._all = [_Upstream(self, path) for path in paths]

    def __repr__(self) -> str:
        well = sum(one.takes for one in self._all)
        flying = len(self.waiting) + len(self._resting) + sum(len(one.asked) for one in self._all)
        return f"<Upstreams {well} of {len(self._all)} well, {flying} requests in flight>"

    @property
    def why(self) -> str:
        """Say why none takes requests; empty where one does."""
        if any(one.takes for one in self._all):
            return ""
        return "; ".join(dict.fromkeys(one.why for one in self._all))

    async def well(self) -> None:
        """Wait until an application takes requests."""
        await self._any.wait()

    def ask(self, ask: Ask) -> None:
        """Have an application answer, the one that has the least to do."""
        if self.closed:
            ask.is_over = True
            ask.fail(Unavailable(_REMOVED))
            return
        best = self._best()
        if best is None:
            ask.place = None
            self.waiting.append(ask)
        else:
            best.send(ask)

    def again(self, ask: Ask, broke: "_Upstream") -> None:
        """Have another application answer what one did not, or the same a little later."""
        ask.place = None
        other = self._best(but=broke)
        if other is not None:
            other.send(ask)
        else:
            self._resting[ask] = None
            asyncio.get_running_loop().call_later(_KNOWN_WITHIN, self._has_rested, ask)

    def forget(self, ask: Ask) -> None:
        """Let nobody answer any more; an application that has begun sees its connection end."""
        ask.is_over = True
        if ask.place is not None:
            ask.place.forget(ask)
        elif ask in self._resting:
            del self._resting[ask]
        elif ask in self.waiting:
            self.waiting.remove(ask)
        self.go_on()

    def close(self) -> None:
        """Ask nothing more; what was sent is still answered, what waits is refused."""
        self.closed = True
        waiting = [*self.waiting, *self._resting]
        self.waiting.clear()
        self._resting.clear()
        for ask in waiting:
            ask.is_over = True
            ask.fail(Unavailable(_REMOVED))
        for one in self._all:
            one.leave()

    def go_on(self) -> None:
        """Send what waits, as far as there is room."""
        if any(one.takes for one in self._all):
            self._any.set()
        else:
            self._any.clear()
        for _ in range(len(self.waiting)):
            if not any(one.takes and len(one.asked) < self.each for one in self._all):
                return
            self.ask(self.waiting.popleft())

    def _best(self, but: "_Upstream | None" = None) -> "_Upstream | None":
        best = None
        for one in self._all:
            if not one.takes or one is but or len(one.asked) >= self.each:
                continue
            if best is None or one.load < best.load:
                best = one
        return best

    def _has_rested(self, ask: Ask) -> None:
        if ask in self._resting:
            del self._resting[ask]
            self.ask(ask)


class _Upstream:
    """One application, and the connections to it."""

    def __init__(self, owner: Upstreams, path: str | PathLike[str]) -> None:
        self.takes = False
        self.why = "it has not been started yet"
        self.asked: dict[Ask, None] = {}
        self._owner = owner
        self._state: State | None = None
        self._sent = 0
        self._idle: list[Connection] = []
        self._unsent: dict[Ask, None] = {}  # a connection is being opened for each
        self._opening: set[asyncio.Task[None]] = set()
        self._unsure: list[tuple[Ask, str]] = []  # broken off; the keeper may say why
        self._pause = _SHORTEST_PAUSE
        self._loop = asyncio.get_running_loop()
        self._listener = Listener(path, self._told)

    @property
    def load(self) -> tuple[int, int]:
        """How much it has to do, and of two that have as much, how much it was asked before."""
        return len(self.asked), self._sent

    def send(self, ask: Ask) -> None:
        """Send a request, on a connection that is kept unless it was sent before."""
        self._sent += 1
        ask.sent += 1
        ask.place = self
        self.asked[ask] = None
        while self._idle and ask.repeatable and ask.sent == 1:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                ask.connection = connection
                connection.ask(ask.written, ask, bare=ask.bare)
                return
        self._unsent[ask] = None
        task = self._loop.create_task(self._open(ask))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def forget(self, ask: Ask) -> None:
        """Drop the connection of a request that nobody waits for."""
        self.asked.pop(ask, None)
        self._unsent.pop(ask, None)
        if ask.connection is not None:
            ask.connection.drop()
            ask.connection = None
        self._leave_if_idle()

    def leave(self) -> None:
        """Take no more, and let the keeper go when all that was asked is answered."""
        self.takes = False
        self._leave_if_idle()

    # What connections say.

    def free(self, connection: Connection, reader: Reader) -> None:
        """Use a connection for what waits for one, or keep it."""
        assert isinstance(reader, Ask)
        self.asked.pop(reader, None)
        reader.connection = None
        reader.is_over = True
        self._keep(connection)
        if self._owner.closed:
            self._leave_if_idle()
        elif self._owner.waiting:
            self._owner.go_on()

    def lost(self, connection: Connection, reader: Reader | None, reason: str) -> None:
        """Have a request whose connection broke answered once more, or tell why it is not."""
        if connection in self._idle:
            self._idle.remove(connection)
        if reader is None:
            return
        assert isinstance(reader, Ask)
        self.asked.pop(reader, None)
        reader.connection = None
        if connection.malformed:
            reader.is_over = True
            reader.fail(Internal(f"the container's answer is not HTTP: {connection.malformed}"))
        elif reader.repeatable and reader.sent <= 1 and not self._owner.closed:
            self._owner.again(reader, self)
        elif self._state is None or self._state.over:
            self._give_up(reader, reason)
        else:
            self._unsure.append((reader, reason))
            self._loop.call_later(_TELLS_WITHIN, self._give_all_up)
        self._leave_if_idle()

    def _keep(self, connection: Connection) -> None:
        if connection.transport.is_closing():
            return
        if not connection.transport.is_reading():  # as it was for the sake of a slow caller
            connection.transport.resume_reading()
        for ask in self._unsent:
            if ask.repeatable and ask.sent == 1:
                del self._unsent[ask]
                ask.connection = connection
                connection.ask(ask.written, ask, bare=ask.bare)
                return
        if len(self._idle) < len(self.asked) + _SPARE:
            self._idle.append(connection)
        else:
            connection.drop()

    async def _open(self, ask: Ask) -> None:
        assert self._state is not None
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self._state.port
            )
        except OSError as error:
            self._refused(ask, error)
            return
        self._pause = _SHORTEST_PAUSE
        if ask in self._unsent:
            del self._unsent[ask]
            ask.connection = connection
            connection.ask(ask.written, ask, bare=ask.bare)
        elif self._owner.closed:
            connection.drop()
        else:
            self._keep(connection)

    def _refused(self, ask: Ask, error: OSError) -> None:
        """Ask nothing for a while; what was not sent waits."""
        if self.takes:
            self.takes, self.why = False, f"it takes no connections: {error.strerror or error}"
            self._loop.call_later(self._pause, self._try_again)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if ask in self._unsent:
            del self._unsent[ask]
            self.asked.pop(ask, None)
            ask.sent -= 1
            self._owner.ask(ask)
        self._leave_if_idle()

    def _try_again(self) -> None:
        state = self._state
        self.takes = state is not None and state.well and not state.over and not self._owner.closed
        self._owner.go_on()

    # What the keeper says.

    def _told(self, state: State | None) -> None:
        """Know how the application is; None where nobody keeps it."""
        before = self._state
        if state is None:
            port = before.port if before is not None else 0
            ended = before is not None and before.over
            reason = self.why if ended else "the process that keeps the container has ended"
            state = State(port, well=False, over=True, reason=reason)
        self._state = state
        self.takes = state.well and not state.over and not self._owner.closed
        self.why = state.reason or ("" if state.well else "it is not well")
        if state.over or (before is not None and before.port != state.port):
            idle, self._idle = self._idle, []
            for connection in idle:
                connection.drop()
            for ask in list(self.asked):
                if ask.connection is not None:
                    ask.connection.transport.abort()
        if state.over:
            self._give_all_up()
        self._owner.go_on()

    def _give_all_up(self) -> None:
        unsure, self._unsure = self._unsure, []
        for ask, reason in unsure:
            self._give_up(ask, reason)

    def _give_up(self, ask: Ask, reason: str) -> None:
        if ask.is_over:
            return
        ask.is_over = True
        told = f"the connection to the container broke: {reason}"
        if self._state is not None and self._state.over:
            told = self.why
        ask.fail(Unavailable(f"{told}; the request may be tried again"))

    def _leave_if_idle(self) -> None:
        if self._owner.closed and not self.asked:
            self._listener.close()
            idle, self._idle = self._idle, []
            for connection in idle:
                connection.drop()
