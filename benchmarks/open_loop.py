"""An open-loop load: requests are sent at fixed times, whatever becomes of the earlier ones.

A server that is too slow cannot slow down who asks, as it can where each caller waits for its answer before
it asks again. Latency counts from the time at which a request was to be sent.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

PREDICTOR = """
import json, time

class Predictor:
    def predict(self, instances):
        with open({ran!r}, "a") as file:
            file.write(json.dumps([time.monotonic(), instances]) + "\\n")
        time.sleep({seconds} * len(instances))
        return instances
"""


@dataclass(slots=True)
class Sent:
    """One request, and what came of it; `leaves` is after how many seconds its caller gives up."""

    number: int
    at: float
    leaves: float = 0.0
    status: int = 0
    seconds: float = 0.0
    retry_after: int = 0
    message: str = ""


class Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[tuple[int, bytes]] | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self.answered is None or self.answered.done():
            return
        length = re.search(rb"content-length: (\d+)", head)
        if length is not None and len(body) >= int(length[1]):
            self._data = b""
            self.answered.set_result((int(head[9:12]), head + b"\n" + body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result((0, b"the connection was lost"))

    def send(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answered


@dataclass
class Client:
    """Sends requests with one instance each to a model of a server."""

    url: str
    model: str
    instance: Any = None
    """What to send; by default the request's number."""

    free: list[Connection] = field(default_factory=list)

    def request(self, number: int, timeout: float) -> bytes:
        instance = number if self.instance is None else self.instance
        body = json.dumps({"instances": [instance]}).encode()
        head = (
            f"POST /v1/models/{self.model}:predict HTTP/1.1\r\nhost: localhost\r\n"
            f"x-server-timeout: {timeout:g}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def connection(self) -> Connection:
        while self.free:
            one = self.free.pop()
            if not one.transport.is_closing():
                return one
        address = urlsplit(self.url)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, address.hostname, address.port))[1]

    async def ask(self, sent: Sent, deadline: float) -> Sent:
        """Send a request and wait for its answer, or leave."""
        connection = await self.connection()
        answered = connection.send(self.request(sent.number, deadline))
        if sent.leaves:
            await asyncio.wait([answered], timeout=sent.leaves)
            if not answered.done():
                connection.transport.abort()
        sent.status, answer = await answered
        sent.seconds = monotonic() - sent.at
        if sent.status:
            self.free.append(connection)
        if sent.status not in (0, 200):
            sent.message = answer.decode()
        if told := re.search(rb"retry-after: (\d+)", answer):
            sent.retry_after = int(told[1])
        return sent

    async def capacity(self, callers: int, seconds: float) -> float:
        """Return how many requests a second are answered when so many callers each wait for theirs."""
        ends, answered = monotonic() + seconds, 0
        begins = ends - seconds / 2  # the first half is for the server to find its stride

        async def call(caller: int) -> None:
            nonlocal answered
            while (now := monotonic()) < ends:
                sent = await self.ask(Sent(-caller, now), 60.0)
                assert sent.status == 200, sent
                answered += begins <= monotonic() < ends

        await asyncio.gather(*(call(caller) for caller in range(1, callers + 1)))
        return answered / (seconds / 2)

    async def offer(
        self, rate: float, seconds: float, deadline: float, *, leaving: int = 0, leaves: float = 0.0
    ) -> list[Sent]:
        """Send requests at fixed times; every `leaving`th caller leaves after some seconds."""
        loop = asyncio.get_running_loop()
        started = monotonic() + 0.01
        tasks = []
        for number in range(int(rate * seconds)):
            at = started + number / rate
            if (wait := at - monotonic()) > 0.001:
                await asyncio.sleep(wait)
            gives_up = leaves if leaving and number % leaving == 0 else 0.0
            tasks.append(loop.create_task(self.ask(Sent(number, at, gives_up), deadline)))
        return list(await asyncio.gather(*tasks))

    def close(self) -> None:
        for one in self.free:
            one.transport.abort()


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
