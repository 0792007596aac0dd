"""A request of a caller's own, passed on to an application as it is, and its answer back as it comes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from trivet.core.errors import DeadlineExceeded, ServingError
from trivet.serving.asks import Ask
from trivet.serving.batching import gone
from trivet.serving.upstream import Head
from trivet.serving.upstreams import Upstreams

_HELD = 256 * 1024
"""Bytes of an answer that are held for a caller who takes them slowly; then the application has to wait."""

_REPEATABLE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Request:
    """What is passed on: `target` is a path with its query; `fields` are headers without those of framing.

    It is `repeatable` where asking it twice does no harm.
    """

    method: str
    target: bytes
    fields: Sequence[tuple[bytes, bytes]]
    body: bytes
    repeatable: bool = False

    def written(self) -> bytes:
        """Return it as it is sent."""
        lines = [b"%b %b HTTP/1.1\r\nhost: localhost\r\n" % (self.method.encode(), self.target)]
        lines += [b"%b: %b\r\n" % field for field in self.fields]
        if self.body or self.method not in _REPEATABLE:
            lines.append(b"content-length: %d\r\n" % len(self.body))
        return b"".join([*lines, b"\r\n", self.body])


class Passing(Ask):
    """One request under way; `left` is called once, when it is over."""

    __slots__ = (
        "_changed",
        "_error",
        "_head",
        "_held",
        "_left",
        "_paused",
        "_pieces",
        "_upstreams",
        "_whole",
    )

    def __init__(self, upstreams: Upstreams, request: Request, left: Callable[[], None]) -> None:
        repeatable = request.repeatable or request.method in _REPEATABLE
        super().__init__(request.written(), repeatable=repeatable, bare=request.method == "HEAD")
        self._upstreams = upstreams
        self._left: Callable[[], None] | None = left
        self._changed = asyncio.Event()
        self._head: Head | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = self._whole = False
        self._error: ServingError | None = None

    @property
    def answer(self) -> Head:
        """The head of the answer."""
        assert self._head is not None
        return self._head

    async def begin(self, within: float) -> None:
        """Wait for the head of the answer; raises what there is instead."""
        try:
            async with asyncio.timeout(within):
                self._upstreams.ask(self)
                while self._head is None and self._error is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            where = "in the container"
            if self.place is None:
                where = f"waiting for the container: {self._upstreams.why or 'it has enough to do'}"
            self.leave()
            raise DeadlineExceeded(f"no answer within {within:.3g} s; it was {where}") from None
        except BaseException:
            self.leave()
            raise
        if self._error is not None:
            self.leave()
            raise self._error

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises Unavailable where it breaks off."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                if self._paused and self._held < _HELD // 2:
                    self._resume()
                yield piece
            if self._whole:
                return
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    def leave(self) -> None:
        """Take no more of the answer; the application sees its connection end, unless it was whole."""
        if self._left is None:
            return
        left, self._left = self._left, None
        if not self.is_over:
            self._upstreams.forget(self)
        if self._error is None:
            self._error = gone()
        self._changed.set()
        left()

    def head(self, head: Head) -> None:
        """Take the head, for whoever waits for it."""
        self._head = head
        self.repeatable = False  # the caller has a part of it
        self._changed.set()

    def body(self, data: bytes) -> None:
        """Keep a piece for the caller, and have the application wait where there are many."""
        self._pieces.append(data)
        self._held += len(data)
        if self._held > _HELD and not self._paused and self.connection is not None:
            self._paused = True
            self.connection.transport.pause_reading()
        self._changed.set()

    def end(self) -> None:
        """Know that the answer is whole."""
        self._whole = True
        self._changed.set()

    def fail(self, error: ServingError) -> None:
        """Know why there is no more."""
        self._error = error
        self._changed.set()

    def _resume(self) -> None:
        self._paused = False
        if self.connection is not None:
            self.connection.transport.resume_reading()
