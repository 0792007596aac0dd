"""Send a server what nobody should: mutated requests and random bytes, torn apart and cut off.

    python -m benchmarks.fuzz --inputs 1_000_000 --seed 7

Looks for a process that ends, an answer that never comes, a 500, what is not HTTP, and what grows. Each
connection is a script that follows from the seed and its number, so `--only NUMBER` sends one of them again.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import h11
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from tests.integration.processes import family, resident
from tests.integration.raw import chunked, request
from tests.integration.server import Server, serve

ANSWERS_WITHIN = 20.0  # seconds; what takes longer is called a hang
GROWS_AT_MOST = 48 << 20  # bytes of memory; what a front remembers of heads and paths has its bounds
CONNECTIONS = 24
ALLOWED = {200, 400, 403, 404, 405, 408, 413, 415, 417, 429, 431, 499, 501, 504, 505}

PREDICTOR = """
class Predictor:
    def predict(self, instances, parameters):
        return instances
"""

E, P = "/v1/models/e:predict", "/v1/models/p:predict"
BODY = b'{"instances":[1, "a", {"b": [null, 2.5e3]}]}'
VALID = [
    (request(E, BODY), 200),
    (request(P, BODY), 200),
    (request(E, BODY, b"Accept: */*", b"User-Agent: fuzz", b"Content-Type: application/json"), 200),
    (request("/v1/models/e/versions/1:predict?a=b", BODY), 200),
    (request("/v1/projects/p/locations/l/endpoints/e:predict", BODY), 200),
    (request("/v1/projects/p/locations/l/endpoints/p:rawPredict", BODY), 200),
    (request(E, b'{"instances":[],"parameters":{}}'), 200),
    (request(E, gzip.compress(BODY), b"Content-Encoding: gzip"), 200),
    (request(E, BODY, b"X-Request-Id: abc-1", b"X-Server-Timeout: 30"), 200),
    (request(E, BODY, b"Expect: 100-continue"), 200),
    (request(E, BODY, b"Connection: keep-alive", version="1.0"), 200),
    (request("http://a:80" + E, BODY), 200),
    (request(E, b""), 400),
    (request(E, b"{"), 400),
    (request("/v1/models/none:predict", BODY), 404),
    (request(E, b"", method="GET"), 405),
    (request(E, b"", method="OPTIONS"), 200),
    (request("*", b"", method="OPTIONS"), 200),
    (request("/livez", b"", method="GET"), 200),
    (request("/readyz", BODY, method="GET"), 200),
    (request("/v1/models/e", b"", method="GET"), 200),
    (request("/nowhere%20%0a", b"", method="DELETE"), 404),
    (chunked(b'{"instances"', b":[1", b"]}"), 200),
    (chunked(path="/nowhere"), 404),
    (chunked(BODY, path=P, extension=b';a="b"', trailers=b"X: y\r\nZ: \r\n"), 200),
]

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"\xff", b"%00", b"%0d%0a", b",", b";",
    b'"', b"[", b"{",
    b"0", b"-1", b"9" * 25, b"1e999", b"0x10", b"chunked", b"gzip", b"close", b"HTTP/1.0", b"HTTP/2.0",
    b"*", b"/", b"//",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Host: b\r\n",
    b"X: " + b"y" * 5000 + b"\r\n",
    b"Content-Encoding: gzip\r\n", b"X-Server-Timeout: 1e-9\r\n", b"X-Request-Id: \xe9\r\n", b" folded\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n", b"5\r\nabcde\r\n", b"[" * 300, b"1" * 400,
]  # fmt: skip


@dataclass
class Report:
    """What came of it."""

    inputs: int = 0
    connections: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    descriptors: tuple[int, int] = (0, 0)
    memory: tuple[int, int] = (0, 0)


@dataclass
class Script:
    """What one connection sends, in which pieces, and how it ends."""

    stream: bytes
    inputs: int
    pieces: list[int]  # where each ends
    ends: str  # "half-close", "wait" for as many answers as there are inputs, or "vanish"
    expected: list[int]  # their statuses, where they are known


def script(seed: int, number: int) -> Script:
    """Return what the connection of this number does."""
    chance = random.Random(f"{seed}/{number}")
    kind = chance.random()
    if kind < 0.3:
        picked = [chance.choice(VALID) for _ in range(chance.randint(1, 30))]
        inputs, expected, ends = [content for content, _ in picked], [status for _, status in picked], "wait"
    else:
        inputs, expected = list(_strange(chance)), []
        ends = "vanish" if kind > 0.95 else "half-close"
    stream = b"".join(inputs)
    if ends == "vanish":
        stream = stream[: chance.randint(0, len(stream))]
    return Script(stream, len(inputs), _pieces(chance, len(stream)), ends, expected)


def _strange(chance: random.Random) -> Iterator[bytes]:
    """Make inputs: most keep the connection, since nothing is answered after one that does not."""
    for _ in range(chance.randint(1, 20)):
        content, _ = chance.choice(VALID)
        kind = chance.random()
        if kind < 0.3:
            yield content
        elif kind < 0.75:
            head, _, body = content.partition(b"\r\n\r\n")
            if head.find(b"Content-Length") < 0 or not body:
                yield content
                continue
            body = mutated(chance, body)
            length = head.split(b"Content-Length: ")[1].split(b"\r\n")[0]
            yield head.replace(b"Length: " + length, b"Length: %d" % len(body)) + b"\r\n\r\n" + body
        elif kind < 0.95:
            yield mutated(chance, content)
        else:
            yield chance.randbytes(chance.choice((1, 10, 100, 3000)))


def mutated(chance: random.Random, content: bytes) -> bytes:
    """Change something, or several things."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at, to = sorted(chance.randint(0, len(content)) for _ in range(2))
        match chance.randrange(7):
            case 0:
                content = content[:at] + chance.choice(TOKENS) + content[at:]
            case 1:
                content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
            case 2:
                content = content[:at] + content[min(to, at + 20) :]
            case 3:
                content = content[:to] + content[at:to] + content[to:]
            case 4:
                content = content[:at] + chance.choice(VALID)[0][at:]
            case 5:
                lines = content.split(b"\r\n")
                lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
                content = b"\r\n".join(lines)
            case 6:
                content = content[:at] + chance.choice(TOKENS) + content[to:]
    return content


def _pieces(chance: random.Random, length: int) -> list[int]:
    size = chance.choice((1 << 20, 1 << 20, 1 << 20, 2000, 200, 17))
    ends, end = [], 0
    while end < length:
        end = min(length, end + chance.randint(1, size))
        ends.append(end)
    return ends


async def play(url: str, played: Script, seed: int) -> tuple[list[int], str]:
    """Do what a script says; return the statuses of the answers and what was wrong, if anything."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
    sending = asyncio.create_task(_send(writer, played, seed))
    received = bytearray()
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            if played.ends == "vanish":
                await sending
                return [], ""
            with suppress(ConnectionResetError, BrokenPipeError):
                await _receive(reader, received, len(played.expected) or sys.maxsize)
                await sending
    except TimeoutError:
        return [], f"no answer and no end within {ANSWERS_WITHIN:g} s, after {bytes(received[-200:])!r}"
    finally:
        sending.cancel()
        writer.transport.abort()
    statuses, wrong = parse(bytes(received))
    if played.expected and statuses != played.expected:
        wrong = wrong or f"expected {played.expected}; got {statuses}"
    if strange := set(statuses) - ALLOWED:
        wrong = wrong or f"answered {strange}: {bytes(received[-500:])!r}"
    return statuses, wrong


async def _send(writer: asyncio.StreamWriter, played: Script, seed: int) -> None:
    chance, start = random.Random(seed), 0
    with suppress(OSError):  # the server may have refused it, and be gone, before all of it has been sent
        for end in played.pieces:
            writer.write(played.stream[start:end])
            start = end
            if len(played.pieces) > 1 and chance.random() < 0.05:
                await asyncio.sleep(chance.choice((0, 0.001)))
            await writer.drain()
        if played.ends == "half-close":
            writer.write_eof()
        if played.ends == "vanish":
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


async def _receive(reader: asyncio.StreamReader, received: bytearray, answers: int) -> None:
    """Read that many answers, or all until the end."""
    while received.count(b"\r\ndate: ") < answers or len(parse(bytes(received))[0]) < answers:
        if not (more := await reader.read(1 << 20)):
            return
        received += more


def parse(received: bytes) -> tuple[list[int], str]:
    """Return the statuses of the answers, and what in them is not HTTP."""
    client, statuses = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20), []
    if received:
        client.receive_data(received)
    try:
        while client.trailing_data[0]:
            client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
            client.send(h11.EndOfMessage())
            while isinstance(event := client.next_event(), h11.InformationalResponse):
                pass
            if not isinstance(event, h11.Response):
                return statuses, f"an answer is cut off: {received[-200:]!r}"
            length = 0
            while isinstance(part := client.next_event(), h11.Data):
                length += len(part.data)
            if not isinstance(part, h11.EndOfMessage):
                return statuses, f"an answer is cut off: {received[-200:]!r}"
            statuses.append(event.status_code)
            if client.our_state is h11.MUST_CLOSE:
                left = client.trailing_data[0]
                return statuses, f"more than the last answer came: {left[:200]!r}" if left else ""
            client.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return statuses, f"an answer is not HTTP: {error}: {received[-500:]!r}"
    return statuses, ""


async def _play_all(
    url: str, seed: int, numbers: Iterator[int], inputs: int, report: Report, said: Callable[[int], None]
) -> None:
    async def one_after_the_other() -> None:
        while report.inputs < inputs and len(report.failures) < 10:
            number = next(numbers)
            played = script(seed, number)
            try:
                statuses, wrong = await play(url, played, seed)
            except OSError as error:
                statuses, wrong = [], f"could not connect: {error}"
            report.inputs += played.inputs
            report.connections += 1
            report.statuses.update(statuses)
            if wrong:
                report.failures.append(f"--seed {seed} --only {number}: {wrong}")
            said(min(report.inputs, inputs))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(one_after_the_other())


def fuzz(server: Server, inputs: int, seed: int, said: Callable[[int], None] = lambda _: None) -> Report:
    """Send that many inputs; a tenth of them come first, so that what is remembered has been remembered."""
    pid = server.process.pid
    report, numbers = Report(), iter(range(sys.maxsize))
    _await_control(server)
    start = time.perf_counter()
    asyncio.run(_play_all(server.url, seed, numbers, inputs // 10, report, said))
    before = _held(server)
    asyncio.run(_play_all(server.url, seed, numbers, inputs, report, said))
    report.seconds = time.perf_counter() - start
    after = _held(server)
    report.descriptors, report.memory = (before[1], after[1]), (before[2], after[2])
    if after[0] != before[0]:
        report.failures.append(f"the processes were {before[0]} and are {after[0]}")
    if after[1] > before[1]:
        report.failures.append(f"open files: {before[1]} before, {after[1]} after")
    if after[2] > before[2] + GROWS_AT_MOST:
        report.failures.append(f"bytes of memory: {before[2]} before, {after[2]} after")
    if server.process.poll() is not None or pid != server.process.pid:
        report.failures.append("the server ended")
    elif server.predict("e", [1]).json() != {"predictions": [1]}:
        report.failures.append("the server answers wrongly")
    if any("Traceback" in line for line in server.lines):
        report.failures.append("".join(line for line in server.lines if "Traceback" in line)[:3000])
    return report


def _await_control(server: Server) -> None:
    """Wait until there is a control plane, for which predictions do not wait, and a front has called it."""
    while server.client.get("/v1/projects/p/locations/us-central1/endpoints").status_code != 200:
        time.sleep(0.05)


def _held(server: Server) -> tuple[list[int], int, int]:
    """Return processes, open files and memory, once connections that have ended are forgotten."""
    pid, least, until = server.process.pid, sys.maxsize, time.monotonic() + 5
    while time.monotonic() < until:
        server.client.get("/livez")  # which takes the time that a turn of the server's loop takes
        now = sum(map(_open_files, family(pid)))
        least, until = (now, time.monotonic() + 0.5) if now < least else (least, until)
    return family(pid), least, resident(pid)


def _open_files(pid: int) -> int:
    """Count the open files of a process, but for the catalog's: its connections have a bound of their own."""
    count = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += "/catalog.db" not in os.readlink(one)
    return count


def models(folder: Path) -> list[str]:
    """Return the models that the inputs ask for, as arguments of `trivet serve`."""
    (folder / "predictor.py").write_text(PREDICTOR)
    return ["e=echo:", f"p={folder}"]


def _served(folder: str) -> Server:
    return serve(*models(Path(folder)), "--log-requests=none")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", type=int, help="send this connection again, and print it")
    parser.add_argument("--json", type=Path, help="write the report here")
    asked = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, _served(folder) as server:
        if asked.only is not None:
            played = script(asked.seed, asked.only)
            console.print(played, markup=False)
            console.print(asyncio.run(play(server.url, played, asked.seed)), markup=False)
            return 0
        console.print(f"seed {asked.seed}")
        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=asked.inputs)
            report = fuzz(
                server, asked.inputs, asked.seed, lambda done: progress.update(task, completed=done)
            )
    table = Table("status", "answers")
    for status, count in sorted(report.statuses.items()):
        table.add_row(str(status), f"{count:,}")
    console.print(table)
    rate = f"{report.inputs / report.seconds:,.0f}/s"
    console.print(f"{report.inputs:,} inputs on {report.connections:,} connections, {rate}")
    files, memory = report.descriptors, [size >> 20 for size in report.memory]
    console.print(f"open files {files[0]} → {files[1]}; memory {memory[0]} → {memory[1]} MiB")
    for failure in report.failures:
        console.print(failure, style="red", markup=False)
    if asked.json:
        shown = {**vars(report), "seed": asked.seed, "statuses": dict(report.statuses)}
        asked.json.write_text(json.dumps(shown, indent=1))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
