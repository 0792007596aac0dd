"""What every bundle says of itself: how its images are built, how traffic is split, and how it is asked."""

from collections.abc import Mapping
from pathlib import Path

from trivet.platforms.base import Bundle, Version, Wanted, copied
from trivet.platforms.images import Image
from trivet.platforms.texts import filled

MODELS = "models"
"""Where the bundle has the files that are to be copied to the storage."""


def built(wanted: Wanted, images: Mapping[str, Image]) -> str:
    """Return the lines of a script that build and push the images, and copy the models' files."""
    lines = []
    if any(one.folder for one in images.values()):
        lines.append("# ENGINE=podman builds without docker; images are for the machines of the platform")
    for one in images.values():
        if one.folder:
            lines.append(f'"$ENGINE" build --platform "$MACHINE" --tag {one.name} {one.folder}')
            lines.append(f'"$ENGINE" push {one.name}')
    lines += [
        f"gcloud storage rsync --recursive {MODELS}/{version.label} {wanted.storage}/{version.label}"
        for version in stored(wanted)
        if wanted.storage.startswith("gs://")
    ]
    return "\n".join(lines) or "# The images are there already."


def stored(wanted: Wanted) -> list[Version]:
    """Return the versions whose files are fetched from a storage."""
    return [one for one in wanted.serving if wanted.storage and one.files is not None]


def models(wanted: Wanted) -> Bundle:
    """Return the files that are to be copied to the storage."""
    copies: dict[str, Path] = {}
    for one in stored(wanted):
        copies |= copied(one, f"{MODELS}/{one.label}")
    return Bundle(copies=copies)


def split(wanted: Wanted, images: Mapping[str, Image]) -> str:
    """Return a table of what is served: each version, its share of the traffic and its image."""
    rows = [
        f"| {one.name}@{one.version} | {one.share} % | `{images[one.label].name}` |" for one in wanted.serving
    ]
    return "\n".join(["| version | traffic | image |", "|---|---|---|", *rows])


def notes(wanted: Wanted, images: Mapping[str, Image], name: str, **values: str) -> str:
    """Return the README of a bundle: the platform's own text, and what holds everywhere."""
    first = wanted.serving[0].contract
    told = {
        "name": wanted.name,
        "project": wanted.project,
        "region": wanted.region,
        "namespace": wanted.namespace,
        "service_account": wanted.service_account,
        "split": split(wanted, images),
        "route": first.predict_route or f"{first.invoke_prefix}...",
        "health": first.health_route or "/health",
        "storage": wanted.storage,
    }
    return filled(name, **(told | values))
