"""Every folder of `examples/` runs, and what it prints is what it is for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").iterdir())
PRINTS = {
    "01-tour": [
        '"predictions": ["versicolor", "setosa"]',
        "instances[1].petal_width: expected float64; got the string 'wide'",
        "would run",
        "150 read = 149 successful + 1 failed",
    ],
    "02-python-predictor": ['{"language": "de", "score": 0.6}', '{"language": "unknown", "score": 0.0}'],
    "03-container": ["health:  {}", 'predict: {"predictions":[0,2]}'],
    "04-control-plane": [
        "deployed, and answered with 0.0",
        "a new model gets none: version 1: 100\n",
        "all of it:             version 2: 100\n",
        "rollback:              version 1: 100\n",
        "a script as it is:     version 1 says {'predictions': [0.0",
    ],
    "05-batch": [
        "killed; what is shown so far: []",
        "299,997 results, the same as without the kill, and 3 errors:",
        "row 123,456: s6: expected float32; got the string 'tall'",
    ],
    "06-sql": [
        "Successfully created model named progression.",
        "100,000 rows predicted in ",
        "off_by    r2\n------  ----\n",
        "feature  adds\n-------  ----\n",
        "Column sex is not found in the input data to the PREDICT function.",
    ],
    "07-containers": [
        "version 1 answers [[0.9",
        'version 2 answers [{"classes": ["0", "1"], "scores": [0.9',
        "100 read = 100 successful + 0 failed",
    ],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_runs(example):
    done = subprocess.run(
        [sys.executable, example / "run.py"],
        env={**os.environ, "TRIVET_CONTAINERS_ENGINE": "process"},  # where base images cannot be fetched
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for text in PRINTS[example.name]:
        assert text in done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_explained(example):
    assert f"python examples/{example.name}/run.py" in (example / "README.md").read_text()
