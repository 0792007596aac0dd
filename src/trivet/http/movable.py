"""What a connection needs to go to another process between two requests without its caller noticing.

What the system has received and nobody has read goes with the socket. What has been read goes beside it.
"""

from typing import TYPE_CHECKING

from trivet.http.body import Body
from trivet.http.flow import Flow
from trivet.http.head import Head
from trivet.http.states import ANSWERING, BODY, CLOSING, HEAD, IDLE, MOVING

if TYPE_CHECKING:
    from trivet.http.server import HttpServer


class Movable(Flow):
    """Holds what has been read and not been answered; `state` says what is being done with it."""

    __slots__ = ("_body", "_buffer", "_continued", "_head", "_server", "state")

    def __init__(self, server: "HttpServer", received: bytes, *, continued: bool) -> None:
        super().__init__()
        self._server = server
        self._buffer = received  # read, but not looked at
        self._continued = continued  # whoever sent this was told to go on with the request's body
        self._head: Head = server.no_head
        self._body: Body | None = None
        self.state = IDLE

    @property
    def received(self) -> bytes:
        """What has been read of requests that were not begun with, or something to the same effect."""
        if self._body is None:
            return self._buffer
        return self._head.raw + self._body.so_far() + self._buffer

    @property
    def continued(self) -> bool:
        """Whether the caller needs not be told to continue, should the first of those requests ask for it."""
        return self._continued or self._body is not None

    def move(self) -> None:
        """Go to another process: at once, or once the request at hand has been answered."""
        moving = self._server.moving
        if moving is None or self.closing:
            return
        self._transport.set_write_buffer_limits(0)  # so that it is told when all has been written
        if self.state in (IDLE, HEAD, BODY):
            self.state = MOVING
        if self.state is MOVING:
            self._pause()
            if not self.unsent:
                moving.add(self)

    def end(self) -> None:
        """Close, unless there is something to answer."""
        if self.state is not ANSWERING:
            self._close()

    def _close(self) -> None:
        self.state, self._buffer, self._body = CLOSING, b"", None
        self._transport.close()
