"""What an application's environment is made of: what its base image has, and each of its `pip install`s."""

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from posixpath import join

from trivet.containers.processes.environments import Install
from trivet.containers.processes.places import Places
from trivet.containers.recipes.recipe import Installed, Recipe
from trivet.core.errors import FailedPrecondition

_PLACES = re.compile(r"PATH$|HOME$|TMPDIR$|VIRTUAL_ENV$|PYTHON|LD_")
_FILES = ("-r", "--requirement", "-c", "--constraint")


def wanted(recipe: Recipe, places: Places) -> list[Install]:
    """Return what is to be installed, once the files are laid out.

    Paths in it are relative, so that it is the same wherever that was. Raises FailedPrecondition where a file
    of requirements is not in the image.
    """
    top = places.at("/")
    base = [Install(recipe.base.packages, top)] if recipe.base.packages else []
    return [*base, *(_install(one, places) for one in recipe.installs)]


def variables(recipe: Recipe) -> dict[str, str]:
    """Return the image's variables that `pip` gets: those that name places would mislead it here."""
    return {name: value for name, value in recipe.env.items() if not _PLACES.match(name)}


def _install(one: Installed, places: Places) -> Install:
    folder = places.at(one.folder)
    folder.mkdir(parents=True, exist_ok=True)
    arguments: list[str] = []
    contents: list[bytes] = []
    for option, value in _pairs(one.arguments):
        path = places.at(join(one.folder, value))
        if option in _FILES and "://" not in value:
            if not path.is_file():
                where = f"Dockerfile, line {one.line}: " if one.line else ""
                raise FailedPrecondition(
                    f"{where}pip install {option} {value}: expected a file that was copied there before"
                )
            contents += _texts(path, set())
            arguments += [option, os.path.relpath(path, folder)]
        elif (
            not option and (local := _local(value)) and (path := places.at(join(one.folder, local))).exists()
        ):
            contents += _all(path)
            arguments.append(f"./{os.path.relpath(path, folder)}{value[len(local) :]}")
        else:
            arguments += [word for word in (option, value) if word]
    return Install(tuple(arguments), folder, b"".join(_framed(content) for content in contents))


def _pairs(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield options that name files with the file, and all else with an empty option."""
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if word in _FILES:
            yield word, next(words, "")
        elif equals and name in _FILES:
            yield name, value
        elif word[:2] in ("-r", "-c") and len(word) > 2:
            yield word[:2], word[2:]
        else:
            yield "", word


def _local(value: str) -> str:
    """Return the path of a package that is a file or a folder, without its extras; empty for any other."""
    path = value.partition("[")[0]
    return path if path.startswith((".", "/")) or path.endswith((".whl", ".tar.gz", ".zip")) else ""


def _texts(path: Path, seen: set[Path]) -> Iterator[bytes]:
    """Yield a file of requirements, those that it names, and the packages beside it that it names."""
    if path.resolve() in seen or not path.is_file():
        return
    seen.add(path.resolve())
    content = path.read_bytes()
    yield content
    for line in content.decode("utf-8", "replace").splitlines():
        for option, value in _pairs(tuple(_split(line))):
            if option in _FILES:
                yield from _texts(path.parent / value, seen)
            elif (local := _local(value)) and (path.parent / local).exists():
                yield from _all(path.parent / local)


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _all(path: Path) -> Iterator[bytes]:
    """Yield the names and digests of a file, or of all that is in a folder."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").digest()
        yield str(file.relative_to(path.parent)).encode()
        yield digest


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(8, "little") + content
