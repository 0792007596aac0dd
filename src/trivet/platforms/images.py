"""The images that versions run from: Trivet's own with a model in it, or that of the user's application.

An image's tag says the version and, by a digest, what is in it: the same tag never means two things, so that
a platform which looks at the tag alone notices a change.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from trivet import storage
from trivet.containers.oci.folders import dockerfile
from trivet.core.errors import FailedPrecondition, InvalidArgument
from trivet.platforms.base import Bundle, Version, Wanted, copied, port_of
from trivet.platforms.texts import filled
from trivet.platforms.variables import FILES

FOLDER = "images"
"""Where the bundle has what images are built from, a folder each."""

_LIBRARIES = {
    "onnx": ("onnxruntime",),
    "sklearn": ("scikit-learn", "skops", "pandas"),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "tensorflow": ("openvino", "openvino-tokenizers"),
    "torch": ("torch",),
}
"""What answers the models of a framework, an extra of Trivet of the same name."""

_PACKAGES = {"lightgbm": ("libgomp1",)}
"""Debian's packages that a framework's wheels need, and slim images have not."""

_PYTHON = ("python", "torch")
"""Frameworks whose models may bring code of their own."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Image:
    """An image by its full name, and the `folder` of the bundle that it is built from; empty for none."""

    name: str
    folder: str
    bundle: Bundle


def images(wanted: Wanted) -> Mapping[str, Image]:
    """Return the image of each version that has traffic, by the version's label."""
    return {version.label: image(version, wanted) for version in wanted.serving}


def image(version: Version, wanted: Wanted) -> Image:
    """Return the image of a version; raises InvalidArgument for an application that cannot be built."""
    folder = f"{FOLDER}/{version.label}"
    if version.container is None:
        made = _trivet(version, wanted, folder)
    elif version.container.folder is not None:
        made = _application(version, wanted, folder, version.container.folder)
    elif version.files is not None and not wanted.storage:
        text = f"FROM {version.container.image}\nCOPY model/ {FILES}/\n"
        made = Bundle({f"{folder}/Dockerfile": text}, copies=copied(version, f"{folder}/model"))
    else:
        return Image(version.container.image, "", Bundle())
    if not wanted.image:
        raise InvalidArgument("--image: required, as REGISTRY/FOLDER/NAME; or --gcp-project, that names it")
    return Image(f"{wanted.image}:{version.label}-{_digest(made)}", folder, made)


def _trivet(version: Version, wanted: Wanted, folder: str) -> Bundle:
    """Return what Trivet's own image is built from, with the model unless that is fetched from a storage."""
    inside = version.files is not None and not wanted.storage
    if wanted.storage and (version.output or version.named):
        raise InvalidArgument(
            f"--storage: {version.name} is served with a framework or output of its own, which is written "
            "into its image; leave --storage out"
        )
    lines = _requirements(version, wanted)
    wheel = Path(wanted.install) if wanted.install.endswith(".whl") else None
    steps = []
    if packages := _PACKAGES.get(version.framework, ()):
        steps.append(
            "RUN apt-get update && apt-get install --yes --no-install-recommends "
            f"{' '.join(packages)} && rm -rf /var/lib/apt/lists/*"
        )
    if lines:
        steps.append(f"COPY requirements.txt {f'{wheel.name} ' if wheel else ''}./")
        steps.append("RUN pip install --no-cache-dir --root-user-action=ignore -r requirements.txt")
    own = version.files / "requirements.txt" if version.files and version.files.is_dir() else None
    if own is not None and own.is_file() and inside:
        steps.append("COPY model/requirements.txt model/")
        steps.append("RUN pip install --no-cache-dir --root-user-action=ignore -r model/requirements.txt")
    texts = {f"{folder}/requirements.txt": "\n".join([*lines, ""])} if lines else {}
    copies = {f"{folder}/{wheel.name}": wheel} if wheel else {}
    if inside and version.files is not None:
        steps.append("COPY model/ model/")
        copies |= copied(version, f"{folder}/model")
    if inside or version.named:
        steps.append("COPY trivet.toml ./")
        texts[f"{folder}/trivet.toml"] = _settings(version, inside=inside)
    base = wanted.base_image or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    texts[f"{folder}/Dockerfile"] = filled(
        "Dockerfile",
        base=base,
        steps="\n".join(steps),
        port=str(port_of(version)),
        permissions=" ".join(f"{name}=false" for name in _refused(version)),
    )
    return Bundle(texts, copies=copies)


def _refused(version: Version) -> list[str]:
    """Return the permissions that a model does not need."""
    refused = ["TRIVET_ARTIFACTS_ALLOW_CONTAINERS"]
    return refused if version.framework in _PYTHON else [*refused, "TRIVET_ARTIFACTS_ALLOW_PYTHON"]


def _settings(version: Version, *, inside: bool) -> str:
    """Return the `trivet.toml` of an image, whose paths are relative to it."""
    lines = [f'[models."{version.name}@{version.version}"]']
    if inside and version.files is not None:
        path = "model" if version.files.is_dir() else f"model/{version.files.name}"
        lines.append(f"path = {json.dumps(path)}")
    if version.named:
        lines.append(f'framework = "{version.framework}"')
    if version.output:
        lines.append(f'output = "{version.output}"')
    return "\n".join([*lines, ""])


def _requirements(version: Version, wanted: Wanted) -> list[str]:
    """Return what is installed: Trivet with the model's framework, in the versions that are here."""
    if wanted.install == "none":
        return []
    extras = [version.framework] if version.framework in _LIBRARIES else []
    extras += [extra for extra in ("gcs",) if wanted.storage.startswith("gs://")]
    extras += [extra for extra in ("s3",) if wanted.storage.startswith("s3://")]
    bracketed = f"[{','.join(extras)}]" if extras else ""
    if wanted.install.endswith(".whl"):
        trivet = f"./{Path(wanted.install).name}{bracketed}"
    else:
        trivet = wanted.install or f"trivet{bracketed}=={metadata.version('trivet')}"
    return [trivet, *_pins(("numpy", *_LIBRARIES.get(version.framework, ())))]


def _pins(names: tuple[str, ...]) -> list[str]:
    """Return those of the distributions that are here, pinned: another version may answer otherwise."""
    found = []
    for name in names:
        try:
            found.append(f"{name}=={metadata.version(name).partition('+')[0]}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _application(version: Version, wanted: Wanted, folder: str, application: Path) -> Bundle:
    """Return the folder of a user's application, with the model's files unless they are fetched."""
    if not (application / "Dockerfile").is_file() and not _starts(version, application):
        raise InvalidArgument(f"{application}: expected a Dockerfile or a Procfile in it, or a command")
    try:
        with dockerfile(application) as file:
            text = file.read_text("utf-8").rstrip("\n")
        ignores = application / ".dockerignore"
        ignored = ignores.read_text("utf-8").rstrip("\n") if ignores.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise FailedPrecondition(f"{application}: its Dockerfile cannot be read: {error}") from None
    texts, copies = {}, {folder: application}
    if version.files is not None and not wanted.storage:
        text += f"\n\n# The files of the model, which AIP_STORAGE_URI names\nCOPY trivet-model/ {FILES}/"
        copies |= copied(version, f"{folder}/trivet-model")
        if ignored:
            texts[f"{folder}/.dockerignore"] = f"{ignored}\n!trivet-model\n"
    texts[f"{folder}/Dockerfile"] = f"{text}\n"  # also where it ignores itself
    return Bundle(texts, copies=copies)


def _starts(version: Version, application: Path) -> bool:
    """Whether an application without a Dockerfile says how it is started."""
    said = version.container is not None and version.container.command
    return bool(said) or any((application / name).is_file() for name in ("Containerfile", "Procfile"))


def _digest(bundle: Bundle) -> str:
    """Return a digest of all that an image is built from."""
    whole = sha256()
    for path, text in sorted(bundle.texts.items()):
        whole.update(f"{path}\0{len(text)}\0{text}".encode())
    for path, local in sorted(bundle.copies.items()):
        found = storage.LocalFiles(local)
        for file in found.files():
            whole.update(f"{path}\0{file.name}\0{file.size}\0".encode())
            with found.open(file.name) as content:
                while chunk := content.read(_CHUNK):
                    whole.update(chunk)
    return whole.hexdigest()[:8]
