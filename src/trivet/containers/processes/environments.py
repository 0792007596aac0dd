"""Virtual environments of applications: made once for the same packages and interpreter, and kept.

An application has the packages that it asks for and none of the server's, even where those would do: it would
else work here and fail in an image, and change with the server. One that asks for nothing shares an empty
environment. What makes plain `pip` slow is saved: an environment has no `pip` of its own, whose installation
takes longer than all else; that of the server installs into it.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trivet.containers import inherited
from trivet.containers.base import Kept, Says
from trivet.containers.processes.guarded import Guarded
from trivet.containers.processes.pythons import Interpreter
from trivet.core.errors import FailedPrecondition

_LAYOUT = 1
"""Raised whenever environments are made in another way."""

_TEMPORARY = ".tmp"
"""A folder for what `pip` unpacks and builds, beside which nobody has to look for what it has left."""

_LINES = 20


@dataclass(frozen=True, slots=True)
class Install:
    """One `pip install`: its arguments, and the folder in which it runs.

    `content` is all that the arguments name, and that may change: the text of files of requirements.
    """

    arguments: tuple[str, ...]
    folder: Path
    content: bytes = b""


def environment(
    cache: Path, python: Interpreter, installs: Sequence[Install], env: Mapping[str, str], says: Says
) -> Path:
    """Return the folder of an environment with all that is to be installed, in this order.

    It is made if there is none, while others that want the same wait. It appears complete or not at all,
    whatever ends its maker. `env` is what `pip` gets besides its own. Raises FailedPrecondition with the last
    lines of what failed.
    """
    key = _key(python, installs, env)
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    ready, lock = cache / key, cache / f"{key}.lock"
    if (ready / "bin" / "python").exists():
        with suppress(OSError):
            os.utime(lock)  # which says when it was used last
        return ready.resolve()
    with _alone(lock, says):
        os.utime(lock)
        if (ready / "bin" / "python").exists():
            return ready.resolve()
        for left in cache.glob(f"{key}.made-*"):  # by one that was ended, or with an interpreter that is gone
            shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(dir=cache, prefix=f"{key}.made-"))
        try:
            own = made / _TEMPORARY
            own.mkdir()
            _make(made, python, installs, {**inherited.for_builds(), **env, "TMPDIR": str(own)}, says)
            shutil.rmtree(own, ignore_errors=True)
            os.sync()  # a loss of power must not leave empty files behind the name
            link = made.with_suffix(".link")
            link.unlink(missing_ok=True)
            link.symlink_to(made.name)
            link.replace(ready)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return made


def kept(cache: Path, running: Collection[Path]) -> Sequence[Kept]:
    """Return the environments that there are; applications run in those that are `running`."""
    found = []
    for ready in sorted(cache.glob("*")):
        if not ready.is_symlink() or ready.suffix:
            continue
        made, lock = ready.resolve(), ready.with_suffix(".lock")
        with suppress(OSError):
            used = lock.stat().st_mtime
            found.append(Kept(str(made), used, _size(made), made in running, partial(_remove, ready, used)))
    return found


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def _remove(ready: Path, used: float) -> bool:
    """Remove an environment, unless it was used since, or is being made anew."""
    with suppress(OSError), ready.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock.fileno()).st_mtime != used:
            return False
        made = ready.resolve()
        ready.unlink()  # first, so that nobody finds half of it
        shutil.rmtree(made, ignore_errors=True)
        return True
    return False


def _key(python: Interpreter, installs: Sequence[Install], env: Mapping[str, str]) -> str:
    hashed = hashlib.sha256()
    parts: list[bytes] = [str(_LAYOUT).encode(), str(python.path).encode(), python.version.encode()]
    for install in installs:
        parts += [b"install", *(argument.encode() for argument in install.arguments), install.content]
    if installs:
        parts += [f"{name}={value}".encode() for name, value in sorted(env.items())]
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little") + part)
    return hashed.hexdigest()[:32]


def _sweep(cache: Path) -> None:
    """Remove what was left by makers that were ended: what has no name, and is not being made."""
    for left in cache.glob("*.made-*"):
        ready = cache / left.name.partition(".")[0]
        with suppress(OSError), ready.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not ready.is_symlink() or os.readlink(ready) != left.name:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone(path: Path, says: Says) -> Iterator[None]:
    """Hold a lock, which ends with the process that has it."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            says("another process makes the same environment; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(
    made: Path, python: Interpreter, installs: Sequence[Install], env: Mapping[str, str], says: Says
) -> None:
    pip = importlib.util.find_spec("pip") is not None
    without = ("--without-pip",) if pip or not installs else ()
    _run(
        (str(python.path), "-I", "-m", "venv", *without, str(made)), made, env, says, "a virtual environment"
    )
    own = str(made / "bin" / "python")
    command = (sys.executable, "-I", "-m", "pip", "--python", own) if pip else (own, "-I", "-m", "pip")
    options = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
    for install in installs:
        says(f"pip install {' '.join(install.arguments)}")
        what = f"pip install {' '.join(install.arguments)}"
        _run((*command, "install", *options, *install.arguments), install.folder, env, says, what)


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str], says: Says, what: str) -> None:
    """Run a command to its end; it ends with this process, and nothing goes on in what others may remove."""
    run = Guarded(command, env=env, folder=folder, says=says)
    try:
        status = run.wait()
    except BaseException:
        run.stop(0)
        raise
    if status:
        lines = "\n".join(run.output.tail(_LINES))
        raise FailedPrecondition(f"{what}: {run.ended}; its last lines:\n{lines}")
