"""The gRPC server of the gateway's process, on a socket that nobody else can reach."""

import asyncio
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.core.errors import ServingError
from trivet.gateway.streams import CHUNK, PlainStream
from trivet.protocols.vertex import grpc

log = logging.getLogger("trivet")


class Rpc:
    """Comes up while REST is served already; those who connect wait for it.

    Its socket is in a folder of its own, made in `scratch` or where temporary files belong. Where its
    libraries are missing it never comes up.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        *,
        max_message_bytes: int,
        max_held_bytes: int,
        scratch: Path | None = None,
    ) -> None:
        self._folder = TemporaryDirectory(prefix="trivet-", dir=scratch, ignore_cleanup_errors=True)
        self._path = Path(self._folder.name) / "grpc"
        self._server = asyncio.create_task(self._start(upstream, max_message_bytes, max_held_bytes))

    async def _start(self, upstream: tuple[str, int], message: int, held: int) -> grpc.Server | None:
        if grpc.missing():
            return None
        try:
            return await grpc.start(f"unix:{self._path}", upstream, message, held)
        except ServingError as error:
            log.error("gRPC is not served: %s", error)
        except Exception:  # what an unknown version of Google's libraries may raise, while REST goes on
            log.exception("gRPC is not served")
        return None

    async def connect(self) -> PlainStream:
        """Return a connection; raises OSError where the server could not start."""
        if await asyncio.shield(self._server) is None:
            raise ConnectionRefusedError("there is no gRPC server")
        return PlainStream(*await asyncio.open_unix_connection(self._path, limit=CHUNK))

    async def stop(self, within: float) -> None:
        """Let calls finish, for some seconds; may be called again."""
        if not self._server.done():
            self._server.cancel()
        await asyncio.wait((self._server,))
        if not self._server.cancelled() and (server := self._server.result()) is not None:
            await server.stop(within)
        self._folder.cleanup()
