"""The images of models' own containers: what their name may be, and what is kept of them at an upload.

An image is an application's folder, or a name that a container engine knows. Either is taken as it is at the
upload: changing it later reaches no version that there is.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from trivet.containers import registry
from trivet.control.settings import OwnContainers
from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from trivet.core.resources import Image

log = logging.getLogger("trivet")

WHERE = "model.containerSpec.imageUri"

BUILT_BY = ("Dockerfile", "Procfile")
"""Files of which one says how an application is started."""

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)


def check(image: str) -> None:
    """Raise InvalidArgument for what can be neither an image's name nor the folder of an application."""
    if image.startswith("/") or "://" in image or (len(image) < 512 and _NAME.fullmatch(image)):
        return
    raise InvalidArgument(
        f"{WHERE} {image!r}: expected the name of an image, as docker.io/library/python:3.13, or the "
        "absolute path or file:// URI of the folder of an application"
    )


def folder(image: str, stand_for: Mapping[str, str]) -> str:
    """Return where the application's folder is that an image is, or that stands for it; empty for neither."""
    if mapped := stand_for.get(image):
        return str(Path(mapped).absolute())
    return image if image.startswith("/") or "://" in image else ""


def require(settings: OwnContainers) -> None:
    """Ask the operator's permission."""
    if not settings.allowed:
        raise PermissionDenied(
            f"{WHERE}: running containers of one's own is not allowed here; the operator can allow it with "
            "artifacts.allow_containers = true"
        )


def check_folder(path: Path, image: str, spec: ContainerSpec) -> None:
    """Raise FailedPrecondition where the folder of an application does not say how to start it."""
    if not path.is_dir():
        raise FailedPrecondition(f"{WHERE} {image!r}: expected a folder")
    if not spec.command and not any((path / name).is_file() for name in BUILT_BY):
        raise FailedPrecondition(
            f"{WHERE} {image!r}: the folder says nothing of how to start the application in it; expected a "
            f"{' or '.join(BUILT_BY)}, or containerSpec.command"
        )


def named(spec: ContainerSpec, settings: OwnContainers) -> Image:
    """Return what an engine calls the image of a name, which it fetches if it has to.

    Raises FailedPrecondition where no engine is here, and NotFound where there is no such image.
    """
    asked = replace(spec, engine=settings.engine, cache=settings.cache)
    try:
        engine = registry.choose(asked)
    except FailedPrecondition as error:
        raise FailedPrecondition(
            f"{WHERE} {spec.image!r}: {error}, or have a folder stand for it by containers.images"
        ) from None
    return Image(id=engine.prepare(asked, lambda line: log.info("%s: %s", spec.image, line)).image)
