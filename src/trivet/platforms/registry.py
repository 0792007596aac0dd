"""Finds platforms: modules of this package that have a `PLATFORM`."""

from importlib import import_module
from typing import cast

from trivet.platforms.base import Platform

NAMES = ("cloud-run", "gke", "vertex", "kserve", "compose")
"""Every platform, in the order in which they are offered."""


def platform(name: str) -> Platform:
    """Return the platform of one of NAMES."""
    return cast(Platform, import_module(f"{__package__}.{name.replace('-', '_')}").PLATFORM)
