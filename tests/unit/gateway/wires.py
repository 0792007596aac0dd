"""Streams without sockets: what one end writes the other reads, and a test holds that other end."""

import asyncio


class Wire:
    """One end of a connection; `peer` is the other. At most `room` bytes wait to be read."""

    def __init__(self, room=1 << 20):
        self.room = room
        self.coming = bytearray()
        self.ended = False  # by the other end
        self.error = None
        self.refused = None  # what writing raises
        self.changed = asyncio.Condition()
        self.peer = None

    async def read(self):
        async with self.changed:
            await self.changed.wait_for(lambda: self.coming or self.ended or self.error)
            if self.error:
                raise self.error
            data = bytes(self.coming)
            self.coming.clear()
            self.changed.notify_all()
            return data

    async def write(self, data):
        peer = self.peer
        async with peer.changed:
            if error := self.refused or self.error:
                raise error
            peer.coming += data
            peer.changed.notify_all()
            await peer.changed.wait_for(lambda: len(peer.coming) <= peer.room)

    async def end(self):
        async with self.peer.changed:
            self.peer.ended = True
            self.peer.changed.notify_all()

    async def close(self, within):
        await self.end()

    async def fail(self, error):
        """Let this end raise an error from now on."""
        async with self.changed:
            self.error = error
            self.changed.notify_all()

    async def read_all(self):
        found = b""
        while data := await self.read():
            found += data
        return found


def wire(room=1 << 20):
    """Return both ends of a connection."""
    one, other = Wire(room), Wire(room)
    one.peer, other.peer = other, one
    return one, other
