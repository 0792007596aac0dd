"""Google's prebuilt prediction containers: which runtime an image stands for, and what its artifact must be.

What there is to know of each is data, in `prebuilt.toml`; the images themselves are never fetched.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.runtimes import pickles
from trivet.runtimes.base import Artifact, Permissions

ACCELERATORS = ("cpu", "gpu", "tpu")

_PLACE = re.compile(
    r"(?:[a-z0-9-]+-docker\.pkg\.dev/vertex-ai(?:-restricted)?|(?:[a-z]+\.)?gcr\.io/cloud-aiplatform)"
    r"/prediction/(?P<image>[^/:@]+)(?::(?P<tag>[^/@]+))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_IMAGE = re.compile(r"(?P<name>\w+)-(?P<accelerator>cpu|gpu|tpu)\.(?P<version>\d+-\d+|nightly)")


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """A prebuilt container: its image, the framework and version that this is of, and what stands for it.

    `framework` is the runtime, `output` what it answers where a request does not say (`ModelSpec.output`),
    and `files` are the names that the model's file may have, of which it has one.
    """

    image: str
    title: str
    version: str
    accelerator: str
    framework: str
    output: str
    files: tuple[str, ...]


def resolve(image: str) -> Prebuilt | None:
    """Return the prebuilt container of an image's URI; None for an image that is somebody's own.

    A version newer than every published one is taken to have come since. Raises InvalidArgument for any
    other image of Google's repositories that was never published, and for tags other than `latest`.
    """
    place = _PLACE.fullmatch(image)
    if place is None:
        return None
    if place["tag"] not in (None, "latest"):
        raise InvalidArgument(f"image {image!r}: expected the tag latest, the only one that is published")
    found = _IMAGE.fullmatch(place["image"])
    known = _table().get(found["name"], {}) if found else {}
    published: Sequence[str] = known.get(found["accelerator"], ()) if found else ()
    if not found or not published or not _is_version(found["version"], published):
        near = get_close_matches(place["image"], _published(), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InvalidArgument(f"image {image!r}: there is no such prebuilt container{hint}")
    return Prebuilt(
        image=image,
        title=known["title"],
        version=found["version"].replace("-", "."),
        accelerator=found["accelerator"],
        framework=known["framework"],
        output=known["output"],
        files=tuple(known["files"]),
    )


def check(prebuilt: Prebuilt, folder: Path, permissions: Permissions | None = None) -> Path:
    """Return what the runtime is to load of an artifact: the model's file, or the folder of a SavedModel.

    Raises FailedPrecondition where the artifact is not what the container takes; with `permissions`,
    PermissionDenied for a pickle that is not allowed.
    """
    found = [name for name in prebuilt.files if (folder / name).is_file()]
    if len(found) != 1:
        raise FailedPrecondition(_mismatch(prebuilt, folder, found))
    path = folder / found[0]
    if permissions and pickles.is_pickle(path):
        Artifact(path, None, permissions).require_pickle()
    return folder if path.name == "saved_model.pb" else path


def _mismatch(prebuilt: Prebuilt, folder: Path, found: Sequence[str]) -> str:
    about = f"image {prebuilt.image!r} takes {prebuilt.title} models as {' or '.join(prebuilt.files)}"
    if found:
        return f"{about}, one of them; the artifact has {' and '.join(found)}: keep one"
    folders = [one.is_dir() for one in folder.iterdir()]  # names may be nothing that the caller may know
    files = _count(folders.count(False), "file")
    there = f"{files} and {_count(folders.count(True), 'folder')} of other names"
    below = sorted(
        file.relative_to(folder).parent.as_posix()
        for name in prebuilt.files
        for file in folder.glob(f"*/{name}")
    )
    hint = f"; artifactUri must be the folder that holds it directly, {below[0]}/" if below else ""
    return f"{about}; the artifact has {there}{hint}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _is_version(version: str, published: Sequence[str]) -> bool:
    return version in published or (version != "nightly" and _age(version) > max(map(_age, published)))


def _age(version: str) -> tuple[int, ...]:
    return () if version == "nightly" else tuple(map(int, version.split("-")))


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def _published() -> list[str]:
    return [
        f"{name}-{accelerator}.{version}"
        for name, known in _table().items()
        for accelerator in ACCELERATORS
        for version in known.get(accelerator, ())
    ]
