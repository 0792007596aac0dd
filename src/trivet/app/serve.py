"""`serve`: sockets, a supervisor on them, and nothing left behind."""

import asyncio
import ctypes
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.app import logs
from trivet.app.manager import Manager
from trivet.app.supervisor import Announce, Supervisor
from trivet.core.errors import FailedPrecondition
from trivet.engines.cores import cores
from trivet.settings import Server, Settings

_PR_SET_CHILD_SUBREAPER = 36


def run(reread: Callable[[], Settings], announce: Announce) -> int:
    """Serve until told to stop; returns the exit status.

    `reread` gives the settings, now and whenever they are to be read again. `announce` is told the address
    and the models when the first prediction would be answered. Raises FailedPrecondition where the port is
    taken, or what loading a model raises.
    """
    settings = reread()
    logs.configure(settings.log)
    allow_many_connections()
    adopt_orphans()
    sockets = listen(settings.server)
    try:
        with TemporaryDirectory(prefix="trivet-", ignore_cleanup_errors=True) as folder:
            supervisor = Supervisor(reread, sockets, Path(folder), announce, Manager(Path(folder)))
            return asyncio.run(supervisor.run(settings, address(sockets[0])))
    finally:
        for one in sockets:
            one.close()


def listen(server: Server) -> list[socket.socket]:
    """Bind one socket for each front, among which the system spreads connections; none listens yet.

    Raises FailedPrecondition where the address is taken.
    """
    host, port = server.host, server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    fronts = server.workers or cores()
    spread = fronts > 1 and hasattr(socket, "SO_REUSEPORT")
    sockets: list[socket.socket] = []
    try:
        if spread and port:  # which would share it with whoever spreads it, too
            with socket.create_server((host, port), family=family):
                pass
        for _ in range(fronts if spread else 1):
            one = socket.socket(family)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if spread:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
            port = one.getsockname()[1]
        if not spread:
            sockets[0].listen(1)  # so that an address in use is noticed now
    except OSError as error:
        for one in sockets:
            one.close()
        raise FailedPrecondition(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port, "
            "or --port 0 for any free one"
        ) from None
    return sockets * (1 if spread else fronts)


def address(listening: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def allow_many_connections() -> None:
    """Raise the limit on open files as far as the system lets this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def adopt_orphans() -> None:
    """Become the parent of processes whose parent ends: loaders beget loaders, which outlive them.

    Linux alone has this (`prctl(2)`, PR_SET_CHILD_SUBREAPER); elsewhere they go to process 1.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
