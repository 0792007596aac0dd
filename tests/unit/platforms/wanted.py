"""Versions and wishes of them, for tests of platforms."""

from dataclasses import replace

from trivet.core.containers import ContainerSpec
from trivet.platforms.base import Version, Wanted

FRAUD = Version("fraud", "1", framework="catboost")
OWN = Version("echo", "1", framework="container", container=ContainerSpec(image="r.io/p/echo:1"))
IMAGE = "r.io/p/scoring"


def wanted(*versions, **more):
    return Wanted(
        **{"name": "scoring", "versions": versions or (FRAUD,), "image": IMAGE, "project": "p", **more}
    )


def split(first, second, **more):
    """Return two versions with their shares."""
    return wanted(replace(FRAUD, share=first), replace(FRAUD, version="2", share=second), **more)
