"""What is decided before an application runs as a process."""

import os
import runpy
import sys
from pathlib import Path

import pytest

from trivet.containers import process
from trivet.containers.recipes import gunicorn_settings
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition

SETTINGS = Path(sys.modules[gunicorn_settings.__name__].__file__)


def prepare(**given):
    return process.ENGINE.prepare(ContainerSpec(**given), print)


def test_an_image_is_no_folder():
    with pytest.raises(
        FailedPrecondition, match="image fraud:1: only the folder of an application can be run"
    ):
        prepare(image="fraud:1")


def test_a_folder_that_there_is_not_is_told(tmp_path):
    with pytest.raises(FailedPrecondition, match="none: expected the folder of an application"):
        prepare(folder=tmp_path / "none")


@pytest.mark.parametrize("file", ["FROM python:3.11", "FROM tiangolo/uvicorn-gunicorn\nENTRYPOINT []"])
def test_a_folder_that_says_no_command_is_told_before_anything_is_built(tmp_path, file):
    (tmp_path / "Dockerfile").write_text(file)
    with pytest.raises(FailedPrecondition, match="expected CMD or ENTRYPOINT in its Dockerfile, a Procfile"):
        prepare(folder=tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_cpus_are_whole_ones_beside_each_other(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 4, 5})
    assert process._cpus(Resources()) == ()
    assert process._cpus(Resources(cpus=4)) == ()
    assert process._cpus(Resources(cpus=9)) == ()
    assert len(process._cpus(Resources(cpus=0.5))) == 1
    pairs = {tuple(process._cpus(Resources(cpus=1.5))) for _ in range(99)}
    assert pairs <= {(2, 3), (3, 4), (4, 5), (5, 2)}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"PORT": "1234"}, {"bind": "127.0.0.1:1234", "workers": 4, "accesslog": "-"}),
        ({"HOST": "::1", "PORT": "1"}, {"bind": "::1:1"}),
        ({"BIND": "unix:/x"}, {"bind": "unix:/x"}),
        ({"WEB_CONCURRENCY": "1"}, {"workers": 1}),
        ({"WORKERS_PER_CORE": "0.25"}, {"workers": 2}),
        ({"WORKERS_PER_CORE": "2", "MAX_WORKERS": "3"}, {"workers": 3}),
        ({"TIMEOUT": "600", "GRACEFUL_TIMEOUT": "5", "KEEP_ALIVE": "9"}, {"timeout": 600, "keepalive": 9}),
        ({"ACCESS_LOG": "", "LOG_LEVEL": "debug"}, {"accesslog": None, "loglevel": "debug"}),
    ],
)
def test_gunicorn_is_set_as_in_the_images_that_bring_it(monkeypatch, env, expected):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    found = runpy.run_path(str(SETTINGS))
    assert {name: found[name] for name in expected} == expected


def test_no_worker_is_no_number_of_workers(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "0")
    with pytest.raises(ValueError, match="WEB_CONCURRENCY: expected a number from 1, got 0"):
        runpy.run_path(str(SETTINGS))
