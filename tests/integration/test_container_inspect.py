"""`trivet inspect` over the folder of an application."""

import json
import os
import subprocess
import sys

from tests.integration.test_container_life import MOODY


def inspect(cache, *arguments):
    variables = {"TRIVET_CONTAINERS_ENGINE": "process", "TRIVET_CONTAINERS_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, "-m", "trivet", "inspect", str(MOODY), *arguments],
        env={**os.environ, **variables},
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_started_unless_that_is_allowed(tmp_path):
    done = inspect(tmp_path)
    assert done.returncode == 1
    assert "allow it with --allow-containers or artifacts.allow_containers = true" in done.stderr


def test_it_is_started_and_what_is_known_of_it_is_shown(tmp_path):
    done = inspect(tmp_path, "--allow-containers", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["framework"], told["placement"]["where"]) == ("container", "container")
