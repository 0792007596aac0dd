"""Whole scripts in processes of their own: without any change, and with `trivet.connect()`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
FINISHES_WITHIN = 120  # seconds; a bound for hangs, not a measurement


@pytest.fixture
def run(place):
    """Return what runs a command with nothing in its environment that leads to the server."""
    leads = {*place.environment, "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"}
    clean = {name: value for name, value in os.environ.items() if name not in leads}

    def ran(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            check=False,
            env=clean,
            capture_output=True,
            text=True,
            timeout=FINISHES_WITHIN,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return ran


def test_a_script_needs_no_change_behind_the_proxy(run, place):
    script = SCRIPTS / "as_on_google.py"
    run("-m", "trivet", "run", "--data", place.data, "--", sys.executable, script)


def test_connect_does_over_plain_http_what_rest_can_do(run, place):
    run(SCRIPTS / "over_plain_http.py", place.http)
