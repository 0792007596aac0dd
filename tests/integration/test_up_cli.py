"""The commands of the control plane, against a real `trivet up`."""

import fcntl
import itertools
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
from contextlib import ExitStack, suppress

import httpx
import pytest
from click.testing import CliRunner

from tests.integration.server import STARTS_WITHIN, up
from tests.integration.test_processes import until
from trivet.cli import main

HOME = "projects/local/locations/us-central1"
PREDICTOR = """
class Predictor:
    example = 1
    def __init__(self):
        {begins}
    def predict(self, instances):
        return instances
"""
WIDE = struct.pack("HHHH", 24, 140, 0, 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("up") / "data"


@pytest.fixture(scope="module")
def server(data):
    with up(data) as server:
        yield server
        server.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with a predictor that works, in `good`, and one that does not, in `bad`."""
    folder = tmp_path_factory.mktemp("models")
    for name, begins in (("good", "pass"), ("bad", "raise RuntimeError('no licence')")):
        (folder / name).mkdir()
        (folder / name / "predictor.py").write_text(PREDICTOR.format(begins=begins))
    return folder


@pytest.fixture
def cli(server, data, files, monkeypatch):
    """Return a function that runs a command line, in the folder of the models, and returns its output."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("TRIVET_DATA", str(data))

    def run(line, status=0):
        result = CliRunner().invoke(main, shlex.split(line))
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.stderr if status else result.stdout

    return run


@pytest.fixture
def fresh(request, cli, counter=itertools.count()):  # noqa: B008 - it is to be the same for all
    """Return the name of a model with two versions (champion is 1), and that of an empty endpoint."""
    name, at = f"m{(number := next(counter))}", f"e{number}"
    cli(f"model upload {name} --framework echo --alias champion")
    cli(f"model upload {name} --framework echo --no-default")
    cli(f"endpoint create {at}")
    return name, at


def predict(line):
    """Do what a curl line that was printed would do."""
    url, body = re.search(r"curl (\S+) -d '(.*)'", line).groups()
    return httpx.post(url, content=body).json()


def rows(table):
    """Return the cells of a table, in lines."""
    return [re.split(r" {2,}(?!\d+ %)", line.strip()) for line in table.splitlines() if line.strip()]


def test_from_a_file_to_a_prediction(cli):
    assert cli("model upload fraud good --alias champion") == "fraud@1 (champion, default)\n"
    assert cli("endpoint create scoring") == "scoring\n"
    told = cli("deploy fraud@champion --to scoring --traffic 100")
    assert re.search(r"^fraud@1 is deployed at scoring as \d+\nruns:    process: .*own Python code", told)
    assert "traffic: fraud@1 100 %\n" in told
    answer = predict(told)
    assert (answer["predictions"], answer["model"]) == ([1], f"{HOME}/models/fraud")


def test_an_upload_to_a_known_name_is_its_next_version(cli, fresh):
    name, _ = fresh
    assert cli(f"model upload {name} good --alias best --label team=risk") == f"{name}@3 (best, default)\n"
    shown = json.loads(cli(f"model show {name} --json"))
    assert (shown["versionId"], shown["labels"], shown["displayName"]) == ("3", {"team": "risk"}, name)
    assert shown["artifactUri"] == f"{os.getcwd()}/good"
    assert [one["versionId"] for one in shown["versions"]] == ["1", "2", "3"]


def test_an_upload_that_fails_says_why(cli):
    told = cli("model upload m nothing", status=1)
    assert told == f"Error: {os.getcwd()}/nothing: there is no such file or folder\n"
    assert "Error: m@2: expected a name alone" in cli("model upload m@2 good", status=1)
    assert "model.artifactUri: required" in cli("model upload m", status=1)
    assert "there is no model m;" in cli("model show m", status=1)


def test_models_are_listed_and_shown(cli, fresh):
    name, at = fresh
    cli(f"model upload {name} --framework echo --display-name 'Our model'")
    cli(f"deploy {name}@2 --to {at}")
    table = rows(cli("model ls"))
    assert table[0] == ["model", "versions", "aliases", "framework", "created"]
    assert [f"{name} (Our model)", "3", "champion 1, default 3", "echo"] in [row[:4] for row in table]
    told = cli(f"model show {name}@2")
    assert ["deployed at", at] in rows(told)
    assert ["1", "champion"] in [row[:2] for row in rows(told)]
    cli("model upload byimage good --image trivet/python")
    assert ["byimage", "1", "default 1", "python"] in [row[:4] for row in rows(cli("model ls"))]
    assert ["framework", "python"] in rows(cli("model show byimage"))
    cli("model upload found good")
    assert ["found", "1", "default 1", "python"] in [row[:4] for row in rows(cli("model ls"))]
    assert ["framework", "python"] in rows(cli("model show found"))
    assert f"{HOME}/models/{name}" in [one["name"] for one in json.loads(cli("model ls --json"))]
    assert json.loads(cli(f"model ls --json --filter id={name}"))[0]["versionId"] == "3"
    assert cli("model show 'Our model' --json") == cli(f"model show {name} --json")


def test_a_container_of_ones_own_is_uploaded_and_shown(cli, tmp_path):
    folder = tmp_path / "my-predictor"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM python:3.13-slim\n")
    asked = f"--image {folder} --env MODULE_NAME=main2 --port 9000 --predict-route /predict"
    assert cli(f"model upload own {asked} --command 'python m.py'") == "own@1 (default)\n"
    shown = rows(cli("model show own"))
    for row in (
        ["framework", "container"], ["image", str(folder)], ["env", "MODULE_NAME=main2"], ["port", "9000"],
        ["predict route", "/predict"], ["command", "python m.py"],
    ):  # fmt: skip
        assert row in shown
    told = cli("model upload own --env A=b", status=1)
    assert told == "Error: --env: it is said of the model's own container; name that with --image\n"
    told = cli(f"model upload own --image {folder} --env AIP_MODE=x", status=1)
    assert "AIP_MODE: the server sets all AIP_ variables" in told
    cli("model rm own")


def test_a_long_list_is_cut_and_says_so(cli, monkeypatch):
    monkeypatch.setattr("trivet.cli.model._LISTED", 1)
    cli("model upload many1 --framework echo")
    cli("model upload many2 --framework echo")
    told = cli("model ls")
    assert "many2" in told
    assert "many1" not in told
    assert "--all shows every one" in told
    assert "many1" in cli("model ls --all")


def test_aliases_are_given_and_taken(cli, fresh):
    name, _ = fresh
    assert cli(f"model alias {name}@2 +champion +hot default") == f"{name}@2 (champion, default, hot)\n"
    assert cli(f"model alias {name}@hot -hot") == f"{name}@2 (champion, default)\n"
    assert "default cannot be taken away" in cli(f"model alias {name}@2 -default", status=1)


def test_a_copy_is_a_model_or_a_version(cli, fresh):
    name, _ = fresh
    assert cli(f"model copy {name}@champion {name}-copy") == f"{name}-copy@1 (default)\n"
    assert cli(f"model copy {name} {name}-copy") == f"{name}-copy@2\n"
    other = "projects/other/locations/us-central1/models/a"
    assert cli(f"model copy {name} {other}") == f"{other}@1 (default)\n"
    assert "other" not in cli("model ls")
    assert rows(cli("model ls --project other"))[1][:2] == [f"a ({name})", "1"]


def test_what_is_deployed_is_not_deleted(cli, fresh):
    name, at = fresh
    cli(f"deploy {name} --to {at}")
    assert f'"{HOME}/models/{name}" is deployed' in cli(f"model rm {name}", status=1)
    assert cli(f"model rm {name}@2") == f"{name}@2 is deleted\n"
    assert "Undeploy them first" in cli(f"endpoint rm {at}", status=1)
    assert cli(f"endpoint rm {at} --force") == f"{at} is deleted\n"
    assert cli(f"model rm {name}") == f"{name} is deleted\n"
    assert f"there is no model {name}" in cli(f"model show {name}", status=1)


def test_names_that_are_nearly_right_are_told(cli, fresh):
    name, at = fresh
    assert f"no model {name}x; did you mean {name}?" in cli(f"deploy {name}x --to {at}", status=1)
    assert f"no endpoint {at}x; did you mean {at}?" in cli(f"deploy {name} --to {at}x", status=1)
    assert f"{name} has no version or alias 7; it has 1, champion, default, 2" in cli(
        f"deploy {name}@7 --to {at}", status=1
    )
    cli(f"deploy {name} --to {at}")
    wrong = f"{at} has no deployed model {name}@2;"
    assert cli(f"undeploy {name}@2 --from {at}", status=1) == f"Error: {wrong} did you mean {name}@1?\n"
    cli("model upload other --framework echo")
    cli(f"deploy other --to {at}")
    has = f"it has {name}@1, other@1; did you mean {name}@1?"
    assert f"{wrong} {has}\n" in cli(f"traffic {at} {name}@2=100", status=1)
    assert f"no deployed model xyz; it has {name}@1, other@1\n" in cli(f"traffic {at} xyz=9", status=1)
    assert "`trivet endpoint create nothing`" in cli(f"deploy {name} --to nothing", status=1)


def test_a_share_is_taken_from_the_others_in_proportion(cli, fresh):
    name, at = fresh
    assert "no other model" in cli(f"deploy {name} --to {at} --traffic 30", status=1)
    cli(f"deploy {name}@1 --to {at}")
    told = cli(f"deploy {name}@2 --to {at}")
    assert f"traffic: {name}@1 100 %, {name}@2 0 %\n" in told
    assert f"`trivet traffic {at} {name}@2=100`" in told
    cli(f"traffic {at} {name}@1=70 {name}@2=30")
    told = cli(f"deploy {name}@2 --to {at} --traffic 15 --display-name third")
    assert f"traffic: {name}@1 60 %, {name}@2 25 %, {name}@2 (third) 15 %\n" in told


def test_a_version_that_is_deployed_twice_is_told_apart(cli, fresh):
    name, at = fresh
    cli(f"deploy {name}@2 --to {at} --display-name inside --placement inline")
    told = cli(f"deploy {name}@2 --to {at} --display-name apart --placement process --traffic 0")
    assert "runs:    process" in told
    shown = json.loads(cli(f"endpoint show {at} --json"))["deployedModels"]
    ids = {one["displayName"]: one["id"] for one in shown}
    assert f"`trivet traffic {at} {ids['apart']}=100` gives it all" in told
    deployed = {row[0]: row[-4] for row in rows(cli(f"endpoint show {at}")) if row[0].startswith(f"{name}@2")}
    assert deployed == {f"{name}@2 (inside)": "inline", f"{name}@2 (apart)": "process"}
    status = json.loads(cli("status --json"))["endpoints"]
    (there,) = (one["deployedModels"] for one in status if one["name"].endswith(f"/{at}"))
    assert {one["id"]: one["placement"] for one in there} == {
        ids["inside"]: "inline",
        ids["apart"]: "process",
    }


def test_traffic_is_split_and_shown(cli, fresh):
    name, at = fresh
    cli(f"deploy {name}@1 --to {at}")
    cli(f"deploy {name}@2 --to {at}")
    told = rows(cli(f"traffic {at} {name}@1=25 {name}@2=75"))
    assert [row[:2] for row in told[1:]] == [
        [f"{name}@2", "█" * 15 + "░" * 5 + "  75 %"],
        [f"{name}@1", "█" * 5 + "░" * 15 + "  25 %"],
    ]
    assert rows(cli(f"traffic {at}")) == told
    cli(f"traffic {at} {name}@champion=100")
    shown = json.loads(cli(f"endpoint show {at} --json"))
    ids = {one["modelVersionId"]: one["id"] for one in shown["deployedModels"]}
    assert shown["trafficSplit"] == {ids["1"]: 100, ids["2"]: 0}
    cli(f"traffic {at} {ids['2']}=100")
    assert "the shares sum to 90; expected 100" in cli(f"traffic {at} {name}@1=90", status=1)
    assert "stands for 2 deployed models" in cli(f"traffic {at} {name}=100", status=1)
    assert "given twice" in cli(f"traffic {at} {name}@1=50 {ids['1']}=50", status=1)
    assert "expected MODEL=SHARE" in cli(f"traffic {at} {name}@1=x", status=1)


def test_a_machine_type_and_numbers_of_replicas_are_the_dedicated_resources(cli, fresh):
    name, at = fresh
    sized = "--machine-type n1-standard-4 --max-replicas 3 --placement process"
    cli(f"deploy {name} --to {at} {sized} --min-replicas 2")
    cli(f"deploy {name}@2 --to {at} {sized} --replicas 2")
    for one in json.loads(cli(f"endpoint show {at} --json"))["deployedModels"]:
        assert one["dedicatedResources"] == {
            "machineSpec": {"machineType": "n1-standard-4"},
            "minReplicaCount": 2,
            "maxReplicaCount": 3,
        }
    wrong = f"deploy {name} --to {at} --min-replicas 2"
    assert "--min-replicas 2: leave it out, as --replicas 4" in cli(f"{wrong} --replicas 4", status=1)
    assert "--max-replicas 1: expected 2 or more" in cli(f"{wrong} --max-replicas 1", status=1)
    assert "--pool: machine and replicas are the pool's" in cli(f"{wrong} --pool p", status=1)


def test_undeployed_models_leave_their_share_to_the_others(cli, fresh):
    name, at = fresh
    cli(f"deploy {name}@1 --to {at}")
    assert "remaining traffic split at 0%" in _undeploys_all_traffic(cli, name, at)
    cli(f"traffic {at} {name}@1=40 {name}@2=60")
    cli(f"deploy {name}@2 --to {at} --traffic 15 --display-name third")
    cli(f"deploy {name}@2 --to {at} --display-name idle")
    shown = json.loads(cli(f"endpoint show {at} --json"))["deployedModels"]
    ids = {one["displayName"]: one["id"] for one in shown}
    third = f"{name}@2 (third) 15 %"
    assert cli(f"undeploy {ids['idle']} --from {at}") == (
        f"{name}@2 is undeployed from {at}; traffic: {name}@1 34 %, {name}@2 51 %, {third}\n"
    )
    assert cli(f"undeploy {ids['third']} --from {at}") == (
        f"{name}@2 is undeployed from {at}; traffic: {name}@1 40 %, {name}@2 60 %\n"
    )
    assert cli(f"undeploy {name}@champion --from {at}") == (
        f"{name}@1 is undeployed from {at}; traffic: {name}@2 100 %\n"
    )
    assert cli(f"undeploy {name} --from {at}").endswith("; nothing is left there\n")
    assert "nothing is deployed there" in cli(f"undeploy {name} --from {at}", status=1)


def _undeploys_all_traffic(cli, name, at):
    cli(f"deploy {name}@2 --to {at}")
    return cli(f"undeploy {name}@1 --from {at}", status=1)


def test_a_deployment_that_fails_says_why_and_changes_nothing(cli, fresh):
    _, at = fresh
    cli("model upload broken bad")
    assert "RuntimeError: no licence" in cli(f"deploy broken --to {at}", status=1)
    assert json.loads(cli(f"endpoint show {at} --json"))["deployedModels"] == []


def test_how_a_model_is_served_can_be_said(cli, fresh):
    name, at = fresh
    told = cli(f"deploy {name} --to {at} --placement process --replicas 2 --max-rows 7")
    assert "runs:    process: set by the user" in told
    shown = json.loads(cli(f"endpoint show {at} --json"))["deployedModels"][0]
    assert shown["trivet"] == {"placement": "process", "replicas": 2, "maxRows": 7}


def test_endpoints_are_listed_and_shown(cli, fresh):
    name, at = fresh
    cli(f"endpoint create {at}-own --dedicated --display-name Own --label a=b")
    cli(f"deploy {name} --to {at}")
    table = rows(cli("endpoint ls"))
    assert [at, f"{name}@1 100 %"] in [row[:2] for row in table]
    assert [f"{at}-own (Own)", "nothing deployed"] in [row[:2] for row in table]
    told = rows(cli(f"endpoint show {at}-own"))
    assert ["kind", "dedicated"] in told
    assert ["labels", "a=b"] in told
    deployed = rows(cli(f"endpoint show {at}"))[-1]
    assert deployed[:4] == [f"{name}@1", "█" * 20 + " 100 %", "inline", "echo"]
    assert f"{HOME}/endpoints/{at}-own" in [one["name"] for one in json.loads(cli("endpoint ls --json"))]


def test_status_counts_what_is_answered(cli, fresh, server):
    name, at = fresh
    told = cli(f"deploy {name} --to {at}")
    for _ in range(5):
        predict(told)
    predict(told.replace("instances", "instance"))
    told = json.loads(cli("status --json"))
    assert told["server"]["http"] == server.url
    assert told["server"]["processes"] >= 4
    assert 0 <= told["server"]["uptimeSeconds"] < 3600
    assert told["operations"] == []
    (one,) = next(one for one in told["endpoints"] if one["name"].endswith(f"/{at}"))["deployedModels"]
    assert (one["model"], one["trafficPercent"], one["state"]) == (f"{name}@1", 100, "READY")
    assert (one["errors"], one["queuedRows"], one["placement"]) == (1, 0, "inline")
    assert 0 < one["latencySeconds"]["p50"] <= one["latencySeconds"]["p99"] < 30
    row = next(row for row in rows(cli("status")) if row[0] == at)
    assert row[1:5] == [f"{name}@1", "█" * 20 + " 100 %", "READY", "inline"]


def test_status_tells_of_other_projects(cli, fresh):
    told = cli("status --project nobody")
    assert "No endpoints yet" in told
    assert re.search(r"\d+ more models are served for other projects", told)


def test_the_tab_key_offers_what_there_is(cli, fresh, monkeypatch):
    name, at = fresh
    cli(f"deploy {name}@2 --to {at}")

    def offered(*words):
        monkeypatch.setenv("COMP_WORDS", " ".join(["trivet", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_TRIVET_COMPLETE", "bash_complete")
        told = CliRunner().invoke(main, [], prog_name="trivet").stdout
        return [line.partition(",")[2] for line in told.splitlines() if line]

    assert name in offered("deploy", "m")
    assert offered("deploy", f"{name}@") == ["1", "2", "champion", "default"]
    assert at in offered("endpoint", "show", "")
    assert offered("deploy", name, "--to", at[:-1]).count(at) == 1
    assert offered("undeploy", "--from", at, "") == [f"{name}@2"]
    assert offered("traffic", at, "m") == [f"{name}@2="]
    assert offered("deploy", "none*") == []
    assert "n1-standard-4" in offered("deploy", name, "--machine-type", "n1-")


def read_until(terminal, wanted):
    """Return what a terminal shows, up to where this has come."""
    seen = b""
    while not wanted(seen.decode("utf-8", "replace")):
        assert select.select([terminal], [], [], STARTS_WITHIN)[0], seen
        with suppress(OSError):  # it has been closed
            if more := os.read(terminal, 65536):
                seen += more
                continue
        break
    return seen.decode("utf-8", "replace")


def test_status_is_watched_until_ctrl_c(cli, fresh):
    name, at = fresh
    cli(f"deploy {name} --to {at}")
    environment = {**os.environ, "TERM": "xterm"}
    watch, terminal = pty.fork()
    if watch == 0:
        os.execve(sys.executable, [sys.executable, "-m", "trivet", "status", "--watch"], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, WIDE)
    try:
        told = read_until(terminal, lambda seen: seen.count(at) >= 3)
        os.write(terminal, b"\x03")
        read_until(terminal, lambda seen: False)
        assert os.waitstatus_to_exitcode(os.waitpid(watch, 0)[1]) == 0
    finally:
        os.close(terminal)  # which ends it, if it has not
    assert f"{name}@1" in told
    assert "Traceback" not in told


def test_status_is_watched_by_programs_as_lines(cli, fresh):
    command = [sys.executable, "-m", "trivet", "status", "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
        watch.kill()
    assert all(line["endpoints"] for line in lines)


SLOW = """
import pathlib, threading
here = pathlib.Path({folder!r})
class Predictor:
    example = 1
    def __init__(self):
        (here / "begun").touch()
        while not (here / "go").exists():
            threading.Event().wait(0.01)
    def predict(self, instances):
        return instances
"""


def test_a_command_waits_for_a_server_that_is_started_again(tmp_path):
    (tmp_path / "predictor.py").write_text(SLOW.format(folder=str(tmp_path)))
    data = tmp_path / "data"
    environment = {**os.environ, "TRIVET_DATA": str(data)}

    def trivet(line):
        command = [sys.executable, "-m", "trivet", *shlex.split(line)]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)

    with up(data) as first:
        for line in (f"model upload slow {tmp_path}/predictor.py", "endpoint create at"):
            trivet(line).communicate(timeout=STARTS_WITHIN)
        deploying = trivet("deploy slow --to at")
        until((tmp_path / "begun").exists)
        first.stop(signal.SIGKILL)
        (tmp_path / "go").touch()
    with up(data) as second:
        told, _ = deploying.communicate(timeout=STARTS_WITHIN)
        assert deploying.returncode == 0
        assert f"curl {second.url}/v1/" in told
        assert predict(told)["predictions"] == [1]
        second.stop()


@pytest.mark.parametrize("form", ["--json", ""])
def test_who_watches_sees_a_server_that_is_started_again(tmp_path, form):
    data = tmp_path / "data"
    command = [sys.executable, "-m", "trivet", "status", "--watch", *form.split(), "--data", str(data)]
    with up(data) as first, ExitStack() as stack:
        watch = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(watch.kill)
        assert first.url in watch.stdout.readline()
        first.stop(signal.SIGKILL)
        assert "watching for it" in watch.stderr.readline()
        with up(data) as second:
            assert any(second.url in line for line in watch.stdout)
            second.stop()
