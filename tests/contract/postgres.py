"""A real PostgreSQL for the tests: Debian's package, in a folder of its own, on a Unix socket."""

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=200",
)
USER = "postgres"  # it refuses to run as root


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, of the newest that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


class Postgres:
    """A server, and databases in it."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._numbers = count()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self._socket}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create a database, give its URL, and drop it."""
        name = f"catalog_{next(self._numbers)}"
        self.execute(self.url("postgres"), f"CREATE DATABASE {name}")
        yield self.url(name)
        self.execute(self.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, url: str, statement: str) -> list[tuple[object, ...]]:
        """Run a statement beside Trivet, and return its rows."""
        plain = url.replace("+psycopg", "")
        with psycopg.connect(plain, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running(binaries: Path) -> Iterator[Postgres]:
    """Run a server in a new folder; it ends with this process, however that ends."""
    folder = Path(tempfile.mkdtemp(prefix="trivet-pg-", dir="/tmp"))  # a socket's path must be short
    become = []
    if os.getuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
        become = [f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    prefix = ["setpriv", *become, "--pdeathsig=INT", "--"]
    try:
        subprocess.run(
            [*prefix, binaries / "initdb", "--no-sync", "--auth=trust", f"--username={USER}",
             "--encoding=UTF8", "--locale=C.UTF-8", "-D", folder / "data"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        settings = [word for setting in FAST for word in ("-c", setting)]
        server = subprocess.Popen(
            [*prefix, binaries / "postgres", "-D", folder / "data", "-k", folder, *settings],
            stderr=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        assert server.stderr is not None
        try:
            said = []
            for line in server.stderr:
                said.append(line)
                if "ready to accept connections" in line:
                    break
            else:
                raise RuntimeError("PostgreSQL did not start: " + "".join(said))
            rest = threading.Thread(target=lambda: [None for _ in server.stderr], daemon=True)
            rest.start()
            yield Postgres(folder)
        finally:
            server.send_signal(2)  # its "fast" shutdown
            server.wait()
            server.stderr.close()
    finally:
        shutil.rmtree(folder)
