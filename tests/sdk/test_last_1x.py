"""The same tests by the last 1.x of the SDK, in an environment of its own, at the same server."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.sdk.place import VARIABLE

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-sdk1" / "bin" / "python"
FINISHES_WITHIN = 1200  # seconds; a bound for hangs, not a measurement

IS_INNER = VARIABLE in os.environ


def test_the_sdk_is_the_one_that_is_meant():
    from google.cloud import aiplatform

    pinned = ROOT / "constraints" / ("sdk1.txt" if IS_INNER else "constraints.txt")
    assert f"google-cloud-aiplatform=={aiplatform.__version__}\n" in pinned.read_text()
    assert aiplatform.__version__.startswith("1." if IS_INNER else "2.")


@pytest.mark.skipif(IS_INNER, reason="this is that run")
def test_the_same_with_the_last_1x(place, tmp_path):
    if not PYTHON.exists():
        pytest.fail(f"there is no {PYTHON}: run `make sdk1` first")
    done = subprocess.run(
        # BigQuery's client is the same for both
        [
            PYTHON,
            "-m",
            "pytest",
            "tests/sdk",
            "--ignore-glob=*/test_bigquery*",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        env={**os.environ, VARIABLE: str(place.write(tmp_path / "place.json"))},
        check=False,
        capture_output=True,
        text=True,
        timeout=FINISHES_WITHIN,
    )
    assert done.returncode == 0, done.stdout + done.stderr
