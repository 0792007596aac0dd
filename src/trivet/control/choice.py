"""Which runtime a model is for, and which of its files that loads: by its own word, its image or its content.

What `trivet.framework` says goes before the container image; without either the artifact's content tells.
An image `trivet/FRAMEWORK` says the same, and `trivet` that the content tells: for clients that must name an
image, as Google's SDK must. Any other image is the model's own container.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from trivet.control import container_fields, images, prebuilt
from trivet.control.containers import OWN
from trivet.control.fields import text
from trivet.control.options import options
from trivet.control.prebuilt import Prebuilt
from trivet.core.errors import InvalidArgument, NotFound
from trivet.core.resources import Document
from trivet.runtimes import registry
from trivet.runtimes.base import WithoutArtifact
from trivet.serving.lifecycle import find

_OURS = re.compile(r"trivet(?:/(?P<framework>[a-z][a-z0-9_]*))?(?::[\w.-]+)?")


def framework(document: Document) -> str:
    """Return the runtime that a model names, itself or by its image; empty where its artifact will say.

    Raises InvalidArgument for a runtime or prebuilt image that there is not, where there is nothing to load,
    and for a containerSpec that is not sound.
    """
    if is_own(document):
        container_fields.read(document["containerSpec"])
        images.check(_image(document))
        return OWN
    named = _named(document)
    container = _container(document)
    if container is not None:
        named = container.framework
    if named:
        try:
            runtime = registry.get_runtime(named)
        except NotFound as error:
            where = "trivet.framework" if options(document, "model").framework else "containerSpec.imageUri"
            raise InvalidArgument(f"model.{where}: {error}") from None
        if isinstance(runtime, WithoutArtifact) and named != OWN:
            return named
    if not text(document, "artifactUri", "model"):
        raise InvalidArgument(
            "model.artifactUri: required; expected a folder or file: gs://, s3:// or a path"
        )
    return named or ""


def detected(document: Document, named: str, folder: Path) -> str:
    """Return the runtime for an artifact's folder.

    Raises NotFound, InvalidArgument or FailedPrecondition where there is not one model for it.
    """
    if named == OWN:  # which takes any files
        return OWN
    return find(to_load(document, folder), named)[0]


def to_load(document: Document, folder: Path) -> Path:
    """Return what is loaded of an artifact's folder: the file that the image takes, or whatever is in it.

    Raises FailedPrecondition where the image does not take what is there.
    """
    container = _container(document)
    return folder if container is None else prebuilt.check(container, folder)


def default_output(document: Document) -> str:
    """Return what predictions are where neither the request nor the model says: as the image has it."""
    container = _container(document)
    return container.output if container else ""


def is_own(document: Document) -> bool:
    """Whether a model has a container of its own. Raises InvalidArgument as `framework` does."""
    image = _image(document)
    if not image or _OURS.fullmatch(image) or options(document, "model").framework not in (None, OWN):
        return False
    return prebuilt.resolve(image) is None


def _image(document: Document) -> str:
    spec = document.get("containerSpec")
    return str(spec.get("imageUri") or "") if isinstance(spec, Mapping) else ""


def _named(document: Document) -> str | None:
    """Return the runtime that a model names itself, or by an image of ours."""
    ours = _OURS.fullmatch(_image(document))
    return options(document, "model").framework or (ours["framework"] if ours else None)


def _container(document: Document) -> Prebuilt | None:
    """Return the prebuilt container that the image of a model is, where the model has no word of its own."""
    image = _image(document)
    if not image or _OURS.fullmatch(image) or options(document, "model").framework:
        return None
    return prebuilt.resolve(image)
