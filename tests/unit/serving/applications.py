"""What tests of the way to applications share: a keeper and an application of the test, in its event loop."""

import asyncio
import json

from tests.unit.serving.processes import listen, soon
from trivet.containers.life import State
from trivet.core.containers import ContainerSpec
from trivet.core.instances import Instances, object_column
from trivet.serving.announce import Announcer
from trivet.serving.container_replicas import ContainerReplicas


class Request:
    """One that the application was sent. The test answers it when it likes."""

    def __init__(self, connection, head, body):
        self.connection, self.head, self.body = connection, head, body
        self.line, *self.fields = head.decode().split("\r\n")

    def send(self, *pieces):
        for piece in pieces:
            self.connection.transport.write(piece)

    def answer(self, body, status=200, *lines):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        length = f"content-length: {len(body)}".encode()
        self.send(b"\r\n".join([f"HTTP/1.1 {status} X".encode(), length, *lines, b"", body]))

    def echo(self):
        self.answer({"predictions": json.loads(self.body)["instances"]})

    def die(self):
        self.connection.transport.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, application):
        self.application, self.data = application, b""

    def connection_made(self, transport):
        self.transport = transport
        self.application.connections.append(self)

    def data_received(self, data):
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        if len(body) < length:
            return
        self.data = body[length:]
        request = Request(self, head, body[:length])
        if self.application.echoes:
            request.echo()
        self.application.asked.put_nowait(request)

    def connection_lost(self, exc):
        self.application.connections.remove(self)
        self.application.left.put_nowait(self)


class Application:
    """An application of the test, and the keeper that says how it is."""

    def __init__(self, path, *, echoes=False):
        self.path, self.echoes = path, echoes
        self.asked, self.left = asyncio.Queue(), asyncio.Queue()
        self.connections = []
        self.listening = listen(path)

    async def start(self, *, well=True):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.announcer = Announcer(State(self.port, well, reason="" if well else "it is starting"))
        await self.announcer.start(self.listening.dup())
        return self

    async def request(self):
        return await soon(self.asked.get())

    def tell(self, *, well, over=False, reason=""):
        self.announcer.tell(State(self.port, well, over, reason))

    async def stop(self):
        """End it, and its keeper without a word."""
        self.announcer.stop()
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def close(self):
        await self.stop()
        self.listening.close()


def replicas(*paths, idempotent=True, **spec):
    return ContainerReplicas(paths, ContainerSpec(**spec), idempotent=idempotent)


def instances(*values):
    return Instances({"instance": object_column(values)}, len(values))


def answered(predictions):
    """Return the values of predictions, which are texts."""
    return [json.loads(bytes(one)) for one in predictions.columns["prediction"]]
