"""The Dockerfile by which the image of an application's folder is built: its own, or one for its Procfile."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.containers.recipes import procfile

_OWN = ("Dockerfile", "Containerfile")

_WRITTEN = """\
FROM python:{version}-slim
WORKDIR /app
ENV PYTHONUNBUFFERED=1
COPY . .
RUN if [ -f requirements.txt ]; then pip install --no-cache-dir -r requirements.txt; fi
"""


@contextmanager
def dockerfile(folder: Path) -> Iterator[Path]:
    """Return the path of a Dockerfile for the folder; one that is written here is there meanwhile."""
    for name in _OWN:
        if (folder / name).is_file():
            yield (folder / name).resolve()
            return
    with TemporaryDirectory(prefix="trivet-") as place:
        path = Path(place, _OWN[0])
        path.write_text(written(folder))
        yield path


def written(folder: Path) -> str:
    """Return a Dockerfile for a folder without: this Python, its requirements, the `web` of its Procfile.

    Raises FailedPrecondition for a Procfile that has none.
    """
    text = _WRITTEN.format(version=f"{sys.version_info.major}.{sys.version_info.minor}")
    command = procfile.web(folder)
    return text + (f"CMD {json.dumps(['sh', '-c', command])}\n" if command else "")
