"""`up`: a server that keeps a catalog of models and endpoints in a folder, and serves what that says."""

import asyncio
import fcntl
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.app import logs
from trivet.app.gateway import Gate
from trivet.app.manager import Manager, has_catalog
from trivet.app.serve import address, adopt_orphans, allow_many_connections, listen
from trivet.app.sql_process import Sql
from trivet.app.supervisor import Beside, Supervisor
from trivet.core.errors import FailedPrecondition
from trivet.serving.lifecycle import ModelInfo
from trivet.settings import Settings

log = logging.getLogger("trivet")

SERVER = "server.json"
"""The file of the data folder that says where the server is that has it."""

Announce = Callable[[Mapping[str, str], Sequence[ModelInfo]], None]
"""Is told the addresses, by `http`, `tls` and `proxy`, and the models that are served."""


def run(reread: Callable[[], Settings], announce: Announce) -> int:
    """Serve until told to stop; returns the exit status.

    Raises FailedPrecondition where a port is taken, the folder is another server's, or the catalog cannot
    be opened.
    """
    if not has_catalog():
        raise FailedPrecondition("the catalog needs a library: pip install 'trivet[catalog]'")
    settings = reread()
    logs.configure(settings.log)
    allow_many_connections()
    adopt_orphans()
    if settings.models:
        log.warning("the models of trivet.toml are `trivet serve`'s; upload them, or remove them there")
    data = Path(settings.catalog.data)
    with (
        _owned(data),
        TemporaryDirectory(prefix="trivet-", ignore_cleanup_errors=True) as name,
        ExitStack() as opened,
    ):
        scratch = Path(name)
        sockets = [opened.enter_context(one) for one in listen(settings.server)]
        gate = Gate(settings, data, scratch)
        addresses = {"http": address(sockets[0]), **gate.addresses()}
        manager = Manager(scratch, data, _node(data), addresses.get("tls", ""))

        def told(_: str, models: Sequence[ModelInfo]) -> None:
            opened.callback((data / SERVER).unlink, missing_ok=True)
            _write(data / SERVER, json.dumps({**addresses, "pid": os.getpid()}))
            announce(addresses, models)

        beside = Beside(gate, Sql(scratch, data, addresses["http"], addresses.get("tls", "")))
        supervisor = Supervisor(reread, sockets, scratch, told, manager, beside)
        return asyncio.run(supervisor.run(settings, addresses["http"]))


@contextmanager
def _owned(data: Path) -> Iterator[None]:
    """Have a data folder for this server alone."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        raise FailedPrecondition(f"{data}: {error.strerror or error}; choose another with --data") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FailedPrecondition(
                f"{data} is in use by another `trivet up`; stop that, or choose another folder with --data"
            ) from None
        yield


def _node(data: Path) -> str:
    """Return the name of this machine among those that share a catalog, the same after a restart."""
    file = data / "node"
    if not file.exists():
        _write(file, uuid.uuid4().hex)
    return file.read_text()


def _write(path: Path, content: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)
