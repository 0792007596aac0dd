"""Vertex AI's gRPC API, by asking the same of the REST API.

Every unary call becomes an HTTP request to the plain port, its answer a message again; streams of answers
are read from a JSON array, and of what comes in a stream each message is asked for itself. Google's libraries
are imported when the server starts, in a thread, and those of `v1beta1` when first needed.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trivet.core.errors import FailedPrecondition
from trivet.serving.offload import apart

if TYPE_CHECKING:
    from trivet.protocols.vertex.grpc_calls import Calls

_NEEDS = {"grpc": "grpcio", "google.cloud.aiplatform_v1": "google-cloud-aiplatform"}

_AT_ONCE = 2048  # calls; more are refused as RESOURCE_EXHAUSTED


class Server:
    """A gRPC server that has started."""

    def __init__(self, server: Any, calls: "Calls") -> None:
        self._server, self._calls = server, calls

    async def stop(self, within: float) -> None:
        """Take no more calls, and let those there are finish, for some seconds."""
        await self._server.stop(within)
        self._calls.close()


def missing() -> str:
    """Return which of the packages that this needs are not installed; nothing if they are."""
    return ", ".join(package for module, package in _NEEDS.items() if not _is_there(module))


async def start(
    address: str, upstream: tuple[str, int], max_message_bytes: int, max_held_bytes: int
) -> Server:
    """Serve on an address as gRPC writes it (`unix:/path`), by asking the HTTP server at `upstream`.

    `max_held_bytes` are those of the messages of all calls under way; a call over that is refused.
    Raises FailedPrecondition where Google's libraries are too old, or the address cannot be used.
    """
    try:
        calls = await apart(lambda: _calls(upstream, max_held_bytes), "import of Google's libraries")
    except (ImportError, AttributeError) as error:
        raise FailedPrecondition(
            f"google-cloud-aiplatform is not as expected ({error}); "
            "install it with `pip install -U 'trivet[google]'`"
        ) from error
    from grpc import aio

    server = aio.server(
        handlers=(calls,),
        maximum_concurrent_rpcs=_AT_ONCE,
        options=(
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 120_000),  # finds out that a client is gone
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ),
    )
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise FailedPrecondition(f"cannot serve gRPC on {address}: {error}") from None
    await server.start()
    return Server(server, calls)


def _calls(upstream: tuple[str, int], max_held_bytes: int) -> "Calls":
    from trivet.protocols.vertex.grpc_calls import Calls

    return Calls(*upstream, max_held_bytes)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above
        return False
