"""Sees on which addresses of this machine an application listens, where the kernel tells (Linux)."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("trivet")

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"
_LOOKS_EVERY = 1.0


def watch(port: int, name: str, over: Callable[[], str]) -> None:
    """Warn once, from a thread, if others than this machine can reach a port; until it is known, or `over`.

    A process has no network of its own: what listens on all addresses in a container does so here, too.
    """
    if _TABLES[0].exists():
        threading.Thread(target=_wait, args=(port, name, over), name="listening", daemon=True).start()


def everywhere(port: int) -> bool | None:
    """Whether whoever listens on a port does so on all addresses; None while nobody does."""
    addresses = list(_addresses(port))
    return any(not address.strip("0") for address in addresses) if addresses else None


def _addresses(port: int) -> Iterator[str]:
    for table in _TABLES:
        with suppress(OSError, ValueError):
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                address, _, number = local.partition(":")
                if state == _LISTENS and int(number, 16) == port:
                    yield address


def _wait(port: int, name: str, over: Callable[[], str]) -> None:
    pause = threading.Event()
    while not over():
        known = everywhere(port)
        if known:
            log.warning(
                "%s listens on all addresses of this machine, so that others may call it past this server: "
                "have it listen on $HOST",
                name,
            )
        if known is not None:
            return
        pause.wait(_LOOKS_EVERY)
