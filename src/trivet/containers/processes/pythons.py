"""Finds the Python that an application is made for."""

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from trivet.containers import inherited
from trivet.containers.base import Says

_ASK = (
    "import sys, sysconfig, venv; print(getattr(sys, '_base_executable', sys.executable)); "
    "print(' '.join(sys.version.split()), sysconfig.get_platform())"
)
_ANSWERS_WITHIN = 20


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python, by its path, and what tells it from others."""

    path: Path
    version: str


def this() -> Interpreter:
    """Return the one that runs this."""
    path = getattr(sys, "_base_executable", None) or sys.executable
    return Interpreter(Path(path), f"{' '.join(sys.version.split())} {sysconfig.get_platform()}")


def find(version: str, says: Says) -> Interpreter:
    """Return one of a version, as `3.11`; where there is none, or no matter which, the one that runs this."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version in ("", own):
        return this()
    path = shutil.which(f"python{version}", path=inherited.for_applications()["PATH"])
    found = _asked(path) if path else None
    if found is None:
        says(f"there is no Python {version} here: {own} runs the application")
    return found or this()


def _asked(path: str) -> Interpreter | None:
    try:
        asked = subprocess.run(
            [path, "-I", "-c", _ASK],
            env=inherited.for_applications(),
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    base, version = asked.stdout.splitlines()
    return Interpreter(Path(base), version)
