"""From settings to what models are served with."""

from pathlib import Path

import pytest

from trivet import config
from trivet.app.models import containers_of
from trivet.control.settings import OwnContainers
from trivet.core.errors import InvalidArgument


def settings(tmp_path, **environment):
    return config.load(environment=environment, folder=tmp_path)


def test_settings_say_how_containers_are_run(tmp_path):
    asked = settings(
        tmp_path,
        TRIVET_CONTAINERS_ENGINE="process",
        TRIVET_CONTAINERS_IMAGES="europe-docker.pkg.dev/p/r/a=/apps/a, b:1=/apps/b=c",
        TRIVET_CONTAINERS_CACHE=str(tmp_path),
        TRIVET_CONTAINERS_CONCURRENCY="3",
        TRIVET_CONTAINERS_START_TIMEOUT="7",
        TRIVET_CONTAINERS_TIMEOUT="90",
        TRIVET_CONTAINERS_LIMIT="true",
        TRIVET_ARTIFACTS_ALLOW_CONTAINERS="false",
    )
    assert containers_of(asked) == OwnContainers(
        allowed=False,
        engine="process",
        images={"europe-docker.pkg.dev/p/r/a": "/apps/a", "b:1": "/apps/b=c"},
        cache=tmp_path,
        concurrency=3,
        start_timeout=7,
        timeout=90,
        limited=True,
    )


def test_without_any_they_are_kept_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert containers_of(settings(tmp_path)).cache == tmp_path / ".cache/trivet/containers"
    assert containers_of(settings(tmp_path, TRIVET_CONTAINERS_CACHE="here")).cache == Path("here").absolute()


@pytest.mark.parametrize(
    "given", ["name", "=/folder", "name=", '["a:1=/folder"]', '"a"=/folder', "a b=/folder"]
)
def test_a_folder_stands_for_a_named_image(tmp_path, given):
    with pytest.raises(InvalidArgument, match="TRIVET_CONTAINERS_IMAGES: Expected `str` matching regex"):
        settings(tmp_path, TRIVET_CONTAINERS_IMAGES=given)
