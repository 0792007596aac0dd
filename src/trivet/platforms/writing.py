"""Writes a bundle into a folder of its own: all of it, or nothing."""

import json
import os
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp

from trivet import storage
from trivet.core.errors import AlreadyExists, FailedPrecondition
from trivet.platforms.base import Bundle, Json


def write(bundle: Bundle, folder: Path) -> None:
    """Write a bundle; raises AlreadyExists where the folder has anything in it.

    Raises FailedPrecondition where it cannot be written, and what copying models' files raises.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AlreadyExists(f"--output {folder}: expected a folder that is empty, or not there yet")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise FailedPrecondition(f"--output {folder}: {error.strerror or error}") from None
    try:
        _fill(bundle, made)
        made.chmod(0o755)
        made.replace(folder)
    except OSError as error:
        raise FailedPrecondition(f"--output {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(bundle: Bundle, folder: Path) -> None:
    for path, local in bundle.copies.items():
        _copy(local, folder / path)
    texts = {path: rendered(path, documents) for path, documents in bundle.documents.items()}
    for path, text in {**texts, **bundle.texts}.items():  # over what was copied: a Dockerfile with more in it
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if path in bundle.programs:
            file.chmod(0o755)


def _copy(local: Path, target: Path) -> None:
    """Copy a file to a path, or the files of a folder below it. Links do not lead out of it."""
    found = storage.LocalFiles(local)
    for file in found.files():
        to = target / file.name if local.is_dir() else target
        to.parent.mkdir(parents=True, exist_ok=True)
        found.copy(file, to)
        if local.is_dir() and os.access(local / file.name, os.X_OK):
            to.chmod(0o755)


def rendered(path: str, documents: Sequence[Json]) -> str:
    """Return documents as the text of a file: YAML, or JSON where its name says so."""
    if path.endswith(".json"):
        (document,) = documents
        return json.dumps(document, indent=2) + "\n"
    try:
        yaml = import_module("yaml")
    except ModuleNotFoundError:
        raise FailedPrecondition(
            "manifests are written by PyYAML, which is not installed: pip install 'trivet[export]'"
        ) from None
    made: str = yaml.safe_dump_all(documents, sort_keys=False, width=110)
    return made
