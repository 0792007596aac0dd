"""Ports of this machine for applications that share its network."""

import contextlib
import random
import socket
from pathlib import Path

from trivet.core.errors import ResourceExhausted

_LOWEST, _EPHEMERAL = 10_000, 32_768
"""Ports are taken from between. What is above, the kernel gives to whoever asks for just any."""

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


class Claim:
    """A port that no other claim has, in any process here, while this one lives and is not closed."""

    def __init__(self, number: int, held: socket.socket | None) -> None:
        self.number = number
        self._held = held

    def __repr__(self) -> str:
        return f"<Claim {self.number}>"

    def close(self) -> None:
        """Let others have it."""
        if self._held is not None:
            self._held.close()


def claim() -> Claim:
    """Return a port on which nobody listens.

    It is one that the kernel gives to no connection either: an application may take a minute to listen on it.
    Raises ResourceExhausted where none is found.
    """
    lowest = _lowest_ephemeral()
    for _ in range(_TRIES):
        number = random.randrange(_LOWEST, lowest)
        held = _hold(number)
        if held is not None and _is_free(number):
            return Claim(number, held)
        if held is not None:
            held.close()
    raise ResourceExhausted(f"there is no free port between {_LOWEST} and {lowest}")


def _lowest_ephemeral() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(_LOWEST + 1000, int(_RANGE.read_text().split()[0]))
    return _EPHEMERAL


def _hold(number: int) -> socket.socket | None:
    """Say that a port is taken by the name of a socket, which ends with the process, however that ends."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0trivet-port-{number}")
    except FileNotFoundError:  # no such names here, as on macOS: luck has to do
        return held
    except OSError:
        held.close()
        return None
    return held


def _is_free(number: int) -> bool:
    """Try to have it on all addresses; nothing listens."""
    with socket.socket() as one:
        try:
            one.bind(("", number))
        except OSError:
            return False
    return True
