"""A process that is killed in the middle of a statement about models leaves nothing that is in the way."""

import signal
import subprocess
import sys

import pytest

from tests.unit.sql.models import opened, trained

CODE = """
import os, signal, sys, threading
from tests.unit.sql.models import opened
world = opened(__import__("pathlib").Path(sys.argv[1]))
threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
while True:
    world.run("CREATE OR REPLACE MODEL ds.m OPTIONS(model_type='ONNX', model_path='onnx-regressor')")
    world.run("DROP MODEL ds.m")
"""


@pytest.fixture
def killed(tmp_path):
    """Return a function that runs statements in a process that is killed after so many seconds."""
    trained("onnx-regressor", tmp_path)
    opened(tmp_path).place.close()

    def kill(after):
        command = [sys.executable, "-c", CODE, str(tmp_path), str(after)]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        assert process.returncode == -signal.SIGKILL, process.stderr

    return kill


def test_a_statement_that_was_killed_can_be_repeated(killed, tmp_path):
    for after in (0.03, 0.1, 0.2, 0.5):
        killed(after)
        world = opened(tmp_path)
        world.run("CREATE OR REPLACE MODEL ds.m OPTIONS(model_type='ONNX', model_path='onnx-regressor')")
        assert world.place.models.spec(world.find("ds.m")).path.is_dir()
        world.run("DROP MODEL ds.m")
        assert (world.registered(), world.stored()) == ([], 0)
        world.place.close()
