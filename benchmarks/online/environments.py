"""A virtual environment for each server, built when it is first needed and kept under build/.

The requirement files in peers/ pin every package. All environments hold the same versions of the libraries
that run the models; the Python that runs the benchmark, which is also Trivet's, must hold them, too.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
import venv
from pathlib import Path

from models import LIBRARIES

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench"


class EnvironmentFailed(Exception):
    """An environment could not be built, or has other versions than it should."""


def python_of(name: str | None) -> str:
    """Return the Python of an environment, which is built if it is not there; None is the one that runs."""
    if name is None:
        return sys.executable
    requirements = HERE / "peers" / f"{name}.txt"
    folder = BUILD / "venvs" / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = folder / "requirements.sha256"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {name} (once) ...", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-r", str(requirements)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentFailed(
                f"pip could not install {requirements.name}: {done.stderr.strip()[-300:]}"
            )
        stamp.write_text(wanted)
    _require_same_libraries(requirements)
    return str(python)


def versions_of(name: str | None) -> dict[str, str]:
    """Return the version of every package in an environment."""
    if name is None:
        return {item.name: item.version for item in importlib.metadata.distributions()}
    return _pins(HERE / "peers" / f"{name}.txt")


def _pins(requirements: Path) -> dict[str, str]:
    lines = (line.strip() for line in requirements.read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


def _require_same_libraries(requirements: Path) -> None:
    pins = _pins(requirements)
    for library in LIBRARIES:
        ours = importlib.metadata.version(library)
        if pins[library] != ours:
            raise EnvironmentFailed(
                f"{requirements.name} pins {library} {pins[library]} and Trivet would run on {ours}: "
                "install constraints/constraints.txt, or change the pin"
            )
