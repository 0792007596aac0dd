"""`trivet container`: templates that run and keep the contract, and what `check` finds wrong."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from trivet.cli.container import TEMPLATES

INSTANCES = {"fastapi": "[1, 2]", "flask": "[1, 2]", "catboost": "[2, 0, 0]"}
WITHIN = 100  # seconds; a bound for hangs, not a measurement

ANSWERS = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"{}")

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            instances = json.loads(content)["instances"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, b"no instances")
        INSERT

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Answers).serve_forever()
"""


@pytest.fixture
def start(tmp_path):
    """Return what starts `trivet container` in a folder of the test's, with processes as its engine."""
    started = []

    def begin(*arguments, **more):
        process = subprocess.Popen(
            [sys.executable, "-m", "trivet", "container", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "TRIVET_CONTAINERS_ENGINE": "process"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Return what runs it to its end, and returns what it printed."""

    def done(*arguments, status=0):
        process = start(*arguments)
        printed, said = process.communicate(timeout=WITHIN)
        assert process.returncode == status, printed + said
        return printed

    return done


@pytest.fixture
def application(tmp_path):
    """Return what writes an application that answers by some code, in which there are `instances`."""

    def written(code):
        folder = tmp_path / "application"
        folder.mkdir()
        (folder / "main.py").write_text(ANSWERS.replace("INSERT", code))
        (folder / "Procfile").write_text("web: python main.py\n")
        return folder

    return written


def test_a_health_route_that_is_another_is_told_of(run, application, start):
    folder = application('self.answer(200, json.dumps({"predictions": instances}).encode())')
    file = folder / "main.py"
    file.write_text(file.read_text().replace('(200, b"{}")', '(200 if self.path == "/ping" else 404, b"")'))
    process = start("check", "application", "--start-timeout", "2")
    _, said = process.communicate(timeout=WITHIN)
    assert process.returncode == 1
    assert "was not ready within 2 s: GET /v1/endpoints/1/deployedModels/2 answered 404" in said
    assert "if its health route is another one, say so (healthRoute, --health-route)" in said
    run("check", "application", "--health-route", "/ping")


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_tests_of_a_template_pass(tmp_path, run, template):
    run("init", "mine", "--template", template)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path / "mine",
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # those of these tests
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_runs_at_once_and_keeps_the_contract(tmp_path, run, template):
    run("init", "mine", "--template", template)
    files = ()
    if template == "catboost":
        subprocess.run([sys.executable, "train.py"], cwd=tmp_path / "mine", check=True)
        files = ("--files", "mine/model")
    for module in ("main", "main2"):
        found = run("check", "mine", *files, "-i", INSTANCES[template], "--env", f"MODULE_NAME={module}")
        assert set(re.findall(r"^\S+", found, re.MULTILINE)) == {"ok"}, found


def test_what_is_in_a_folder_is_not_overwritten(tmp_path, run):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Dockerfile").write_text("FROM scratch\n")
    run("init", "mine", status=1)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["Dockerfile"]


def test_an_application_runs_until_it_is_ended(start, run):
    run("init", "mine")
    process = start("run", "mine")
    url = next(found[1] for line in process.stderr if (found := re.search(r"curl (\S+:predict)", line)))
    with urlopen(Request(url, b'{"instances": [[1, 2]]}')) as answer:
        assert answer.read() == b'{"predictions":[3]}'
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WITHIN)
    with pytest.raises(URLError, match="refused"):
        urlopen(url)


def test_an_application_that_cannot_start_is_shown(application, start):
    folder = application("")
    (folder / "main.py").write_text("raise SystemExit('no licence')")
    process = start("run", folder)
    _, said = process.communicate(timeout=WITHIN)
    assert process.returncode == 1
    assert "no licence" in said


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("self.answer(200, b'{\"predictions\": [1, 2]}')", "2 predictions for 1 instances"),
        ("self.answer(200, b'<html>')", "the container answered '<html>'; expected JSON"),
        ("os._exit(3)", "gave no answer"),
        ("self.answer(200, b'{\"predictions\": [1]}')", "64 instances in one request"),
    ],
)
def test_what_is_wrong_is_told(application, run, code, found):
    told = run("check", application(code), "-i", "1", "--timeout", "2", status=1)
    assert any(line.startswith("wrong") and found in line for line in told.splitlines()), told


def test_what_may_be_meant_so_is_no_error(application, run):
    told = run("check", application("self.answer(500, b'oops')"))
    assert "?      answered 500: 'oops' to the instance 1; a status of 400 tells callers to mend it" in told


def test_what_templates_and_their_tests_need_is_tested_here():
    templates = Path(__file__).parents[2] / "src/trivet/cli/templates"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = [*project["optional-dependencies"]["dev"], *project["optional-dependencies"]["catboost"]]
    names = {re.match(r"[\w-]+", one)[0] for one in [*extras, *project["dependencies"]]}
    needed = {
        re.match(r"[\w-]+", line)[0]
        for file in templates.rglob("requirements.txt")
        for line in file.read_text().splitlines()
    }
    assert needed - names == {"google-cloud-storage"}  # which comes with Google's SDK


def test_what_is_built_and_was_not_used_for_long_is_removed(tmp_path, run, application, monkeypatch):
    monkeypatch.setenv("TRIVET_CONTAINERS_CACHE", str(tmp_path / "cache"))
    assert run("prune") == "0 of 0 removed, 0 MB\n"
    application('self.answer(200, json.dumps({"predictions": instances}).encode())')
    run("check", "application")
    (lock,) = (tmp_path / "cache/environments").glob("*.lock")
    assert " kept\n0 of 1 removed" in run("prune")
    assert " would be removed\n1 of 1 would be removed" in run("prune", "--unused-for", "0", "--dry-run")
    os.utime(lock, (1, 1))
    assert " removed\n1 of 1 removed" in run("prune")
    assert run("prune", "--unused-for", "0") == "0 of 0 removed, 0 MB\n"


def test_what_an_application_runs_from_is_not_removed(tmp_path, run, start, application, monkeypatch):
    monkeypatch.setenv("TRIVET_CONTAINERS_CACHE", str(tmp_path / "cache"))
    application('self.answer(200, json.dumps({"predictions": instances}).encode())')
    process = start("run", "application")
    while "It is well" not in process.stderr.readline():
        assert process.poll() is None
    assert " runs\n0 of 1 removed" in run("prune", "--unused-for", "0")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WITHIN)
    assert " removed\n1 of 1 removed" in run("prune", "--unused-for", "0")
