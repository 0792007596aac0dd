"""Checks what is wanted of a platform: it gets into scripts, manifests and names, which take few letters."""

import re

from trivet.core.errors import InvalidArgument
from trivet.platforms.base import Wanted

_LABEL = (r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", "1 to 40 of a-z 0-9 -, beginning with a letter")
_IMAGE = (r"[a-z0-9][a-z0-9._/:@-]{0,254}", "the name of an image, as REGISTRY/FOLDER/NAME")
_FORMS = {
    "--name": _LABEL,
    "--namespace": _LABEL,
    "--region": (r"[a-z]+(-[a-z0-9]+)*", "a region, as us-central1"),
    "--gcp-project": (r"[a-z0-9.:-]{1,64}", "the id of a project"),
    "--image": _IMAGE,
    "--base-image": _IMAGE,
    "--storage": (
        r"(gs|s3)://[a-z0-9][a-z0-9._-]{2,62}(/[\w.-]+)*",
        "gs://BUCKET/FOLDER or s3://BUCKET/FOLDER, BUCKET of 3 characters or more",
    ),
    "--service-account": (r"[a-z0-9.-]+@[a-z0-9.-]+", "an account, as NAME@PROJECT.iam.gserviceaccount.com"),
    "--machine-type": (r"[a-z0-9-]{1,63}", "a machine type, as n1-standard-4"),
    "--gpu-type": (r"[a-z0-9-]{1,63}", "the name of an accelerator, as nvidia-l4"),
    "--install": (r"[\w\[\],=.<>!~/+-]+", "a requirement, as trivet[onnx]==0.1.0; a wheel; or none"),
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check(wanted: Wanted) -> None:
    """Raise InvalidArgument for what has not the form that it needs, naming the option."""
    given = {
        "--name": wanted.name,
        "--namespace": wanted.namespace,
        "--region": wanted.region,
        "--gcp-project": wanted.project,
        "--image": wanted.image,
        "--base-image": wanted.base_image,
        "--storage": wanted.storage,
        "--service-account": wanted.service_account,
        "--machine-type": wanted.machine_type,
        "--gpu-type": wanted.gpu_type,
        "--install": wanted.install,
    }
    for option, text in given.items():
        pattern, expected = _FORMS[option]
        if text and not re.fullmatch(pattern, text, re.ASCII):
            raise InvalidArgument(f"{option} {text!r}: expected {expected}")
    for name, _ in wanted.env:
        if not _VARIABLE.fullmatch(name) or name.startswith("AIP_"):
            raise InvalidArgument(f"--env {name}: expected a name of A-Z a-z 0-9 _ that AIP_ does not begin")
    if wanted.most < max(1, wanted.least):
        raise InvalidArgument(f"--max {wanted.most}: expected at least {max(1, wanted.least)}, as --min says")
    _check_versions(wanted)


def _check_versions(wanted: Wanted) -> None:
    if not wanted.serving:
        raise InvalidArgument(f"{wanted.name}: no version there has traffic; give one of them some first")
    labels = [version.label for version in wanted.versions]
    if twice := {one for one in labels if labels.count(one) > 1}:
        raise InvalidArgument(f"{', '.join(sorted(twice))}: two versions would be called so; export one")
    for version in wanted.versions:
        if version.container is not None and version.container.image:
            pattern, expected = _IMAGE
            if not re.fullmatch(pattern, version.container.image):
                raise InvalidArgument(f"image {version.container.image!r}: expected {expected}")
