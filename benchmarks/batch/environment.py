"""A virtual environment for those that Trivet is compared with, built when it is first needed.

`peers/requirements.txt` pins every package. The libraries that run the model are of the same versions there
and in the Python that runs this benchmark, which is also Trivet's.
"""

import compileall
import hashlib
import importlib.metadata
import importlib.util
import subprocess
import venv
from functools import cache
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
LIBRARIES = ("numpy", "onnxruntime", "pyarrow", "duckdb")  # the same versions for all
OURS = (*LIBRARIES, "trivet", "msgspec", "pysimdjson", "scikit-learn", "skl2onnx")

_requirements = PEERS / "requirements.txt"


@cache
def python_of(folder: Path) -> str:
    """Return the Python of the environment in a folder."""
    where = folder / "venv"
    python, stamp = where / "bin" / "python", where / "requirements.sha256"
    wanted = hashlib.sha256(_requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing those that Trivet is compared with (once) ...", flush=True)
        venv.create(where, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-r", str(_requirements)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"pip could not install {_requirements.name}: {done.stderr.strip()[-300:]}")
        stamp.write_text(wanted)
    for library in LIBRARIES:
        if (theirs := pins()[library]) != (ours := importlib.metadata.version(library)):
            raise SystemExit(
                f"{_requirements.name} pins {library} {theirs} and Trivet would run on {ours}: "
                "install constraints/constraints.txt, or change the pin"
            )
    return str(python)


def pins() -> dict[str, str]:
    """Return the version of every package of the others."""
    lines = (line.strip() for line in _requirements.read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


def ours() -> dict[str, str]:
    """Return the versions that Trivet runs with."""
    return {name: importlib.metadata.version(name) for name in OURS}


def compile_trivet() -> None:
    """Compile Trivet as pip does where it is not installed from a folder that is being worked on.

    Otherwise each of its processes compiles what has changed, where PYTHONDONTWRITEBYTECODE is set.
    """
    spec = importlib.util.find_spec("trivet")
    for folder in (spec and spec.submodule_search_locations) or ():
        compileall.compile_dir(folder, quiet=1)
