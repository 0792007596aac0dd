"""Every document of every platform is what that takes, by its published schema; a changed one is not."""

import copy
from dataclasses import replace
from itertools import chain

import pytest

from tests.contract import published
from trivet.core.containers import ContainerSpec, Probe, Resources
from trivet.platforms import registry, schemas
from trivet.platforms.base import Version, Wanted

FREE = {
    "labels", "annotations", "nodeSelector", "matchLabels", "selector", "limits", "requests", "environment",
    "services", "trafficSplit",
}  # fmt: skip
"""Objects whose keys are anyone's."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "app").mkdir()
    (folder / "app/Dockerfile").write_text("FROM python:3.11-slim\n")
    (folder / "model.cbm").write_bytes(b"a model")
    return folder


def own(files):
    """Return an application that says all that one can say."""
    spec = ContainerSpec(
        folder=files / "app",
        command=("/start",),
        args=("--now",),
        env=(("MODULE_NAME", "main2"),),
        ports=(9000,),
        startup=Probe(path="/started", period=5, timeout=3),
        health=Probe(path="/health", timeout=5, failures=3, delay=2),
        liveness=Probe(path="/alive", period=20),
        resources=Resources(shared_memory=256 << 20),
    )
    return Version("echo", "2", framework="container", container=spec)


CASES = {
    "one": lambda files: Wanted("fraud", (Version("fraud", files=files / "model.cbm"),), "r.io/p/fraud"),
    "split": lambda files: Wanted(
        "scoring",
        (
            Version("fraud", "1", 30, files / "model.cbm", framework="catboost"),
            Version("fraud", "2", 70, files / "model.cbm", framework="catboost"),
        ),
        "r.io/p/fraud",
        least=2,
        service_account="serving@p.iam.gserviceaccount.com",
    ),
    "own": lambda files: Wanted("echo", (own(files),), "r.io/p/echo", cpus=8, memory=32768, gpus=1),
    "stored": lambda files: Wanted(
        "fraud",
        (Version("fraud", files=files / "model.cbm", framework="catboost"),),
        "r.io/p/fraud",
        storage="gs://bucket/models",
        env=(("TRIVET_LOG_FORMAT", "json"),),
        allow_pickle=True,
    ),
}


def documents(platform, case, files):
    wanted = replace(CASES[case](files), project="p")
    bundle = registry.platform(platform).bundle(wanted)
    return [(path, one) for path, several in bundle.documents.items() for one in several]


def problem(path, document):
    """Return what is wrong with a document, empty for nothing; fails where nobody can tell."""
    by, found = schemas.problems(path, document)
    if not by:
        found = published.problem(document)
    assert found is not None, f"nothing to check {path} against: {document.get('apiVersion')}"
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("platform", registry.NAMES)
def test_what_is_written_is_what_the_platform_takes(platform, case, files):
    found = documents(platform, case, files)
    assert found
    assert [(path, problem(path, one)) for path, one in found if problem(path, one)] == []


@pytest.mark.parametrize("case", ["split", "own"])
@pytest.mark.parametrize("platform", registry.NAMES)
def test_no_value_of_another_type_passes(platform, case, files):
    """So each of them is looked at."""
    for path, document in documents(platform, case, files):
        passed = [where for where, one in changed(document) if not problem(path, one)]
        assert passed == [], path


@pytest.mark.parametrize("case", ["split", "own"])
@pytest.mark.parametrize("platform", registry.NAMES)
def test_no_field_passes_that_the_platform_does_not_know(platform, case, files):
    for path, document in documents(platform, case, files):
        passed = [where for where, one in extended(document) if not problem(path, one)]
        assert passed == [], path


def places(value, *path):
    """Yield every place within a document, and what is there."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield from chain.from_iterable(places(one, *path, key) for key, one in inner)


def changed(document):
    """Yield a document with each of its values made a list of lists, which nothing is.

    What says which schema is meant is left as it is.
    """
    for path, value in places(document):
        if path not in (("apiVersion",), ("kind",)) and not isinstance(value, dict | list):
            yield path, _with(document, path, [["wrong"]])


def extended(document):
    """Yield a document with a field more, in each object that has fields of its own."""
    for path, value in places(document):
        if isinstance(value, dict) and not (path and path[-1] in FREE):
            yield path, _with(document, (*path, "nonsense"), "wrong")


def _with(document, path, value):
    made = copy.deepcopy(document)
    there = made
    for key in path[:-1]:
        there = there[key]
    there[path[-1]] = value
    return made
