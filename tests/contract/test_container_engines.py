"""What every engine does alike: the container contract, from the build to the end."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.contract.applications.running import FOLDER, answers, begun, plain, started, until
from trivet.containers import registry
from trivet.containers.oci.content import digest
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition, ServingError

SHAPES = [1, 1.5, "text", None, True, [1, 2], [[1, 2], [3]], {"key": "value"}, [{"b64": "MQ=="}], [], {}]
DETAILED = [{"given": 1, "kind": "int"}]


@pytest.fixture(params=["process", "podman"], scope="module")
def engine(request):
    """Return an engine; where there is no podman, its tests are skipped, and that is said loudly."""
    if request.param == "podman":
        return request.getfixturevalue("podman")
    return registry.engines()[request.param]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Return a folder for environments, which goes on from one run of the tests to the next."""
    return tmp_path_factory.getbasetemp().parent / "trivet-environments"


@pytest.fixture
def spec(cache):
    return plain(cache)


def test_instances_come_back_as_they_were_sent(engine, spec):
    with started(engine, spec) as one:
        assert one.predict(SHAPES) == SHAPES
        assert one.application.ended == ""


def test_an_application_has_the_contracts_variables_the_images_and_none_of_the_servers(
    engine, spec, monkeypatch
):
    monkeypatch.setenv("TRIVET_TEST_SECRET", "s")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/s.json")
    with started(engine, spec, env={"MINE": "a b$c"}) as one:
        env = one.ask("/environment")
    assert env["MINE"] == "a b$c"
    assert env["GREETING"] == "from the image"
    assert env["AIP_HEALTH_ROUTE"] == "/well"
    assert env["AIP_HTTP_PORT"].isdigit()
    assert all(env["PATH"].split(":"))
    assert not {"TRIVET_TEST_SECRET", "GOOGLE_APPLICATION_CREDENTIALS", "PYTEST_CURRENT_TEST"} & env.keys()


def test_a_models_variables_go_before_the_images(engine, spec):
    with started(engine, spec, env={"GREETING": "mine"}) as one:
        assert one.ask("/environment")["GREETING"] == "mine"


def test_paths_in_the_images_variables_are_those_of_its_files(engine, spec):
    with started(engine, spec) as one:
        assert one.ask("/greeting") == "a greeting\n"


def test_it_reads_the_models_files(engine, spec, tmp_path):
    (tmp_path / "weights.txt").write_text("0.5")
    with started(engine, spec, files=tmp_path) as one:
        assert one.ask("/model/weights.txt") == "0.5"


def test_what_it_writes_is_for_itself_and_gone_afterwards(engine, spec):
    names = sorted(path.name for path in spec.folder.iterdir())
    for _ in range(2):
        with started(engine, spec) as one:
            assert one.ask("/write/new.txt") == ["app.py", "greeting.txt", "new.txt"]
            assert one.ask("/home") is True
    assert sorted(path.name for path in spec.folder.iterdir()) == names


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ({}, "it starts"),
        ({"command": ("python", "app.py", "command")}, "it starts command"),
        ({"args": ("python", "/srv/app.py", "$(GREETING)", "$$(x)")}, "it starts mine $(x)"),
        ({"command": ("python",), "args": ("app.py", "$(NONE)")}, "it starts $(NONE)"),
        ({"command": ("sh", "-c", 'exec python app.py "$GREETING"')}, "it starts mine"),
    ],
)
def test_command_and_arguments_go_in_place_of_the_images(engine, spec, given, printed):
    with started(engine, replace(spec, **given), env={"GREETING": "mine"}) as one:
        assert printed in one.application.tail()


def test_a_procfile_starts_it_as_well(engine, spec, tmp_path):
    for name in ("app.py", "greeting.txt"):
        shutil.copy(spec.folder / name, tmp_path)
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "Procfile").write_text('release: false\nweb: exec python app.py "$MINE" :$PORT\n')
    with started(engine, replace(spec, folder=tmp_path), env={"MINE": "a b"}) as one:
        assert one.predict([1]) == [1]
        port = one.ask("/environment")["AIP_HTTP_PORT"]
        assert f"it starts a b :{port}" in one.application.tail()


def test_files_that_the_dockerignore_names_are_not_in_it(engine, spec, tmp_path):
    shutil.copytree(spec.folder, tmp_path / "folder")
    (tmp_path / "folder/secret.txt").write_text("s")
    (tmp_path / "folder/.dockerignore").write_text("secret*\n")
    file = (tmp_path / "folder/Dockerfile").read_text().replace("COPY greeting.txt app.py ./", "COPY . .")
    (tmp_path / "folder/Dockerfile").write_text(file)
    with started(engine, replace(spec, folder=tmp_path / "folder")) as one:
        names = one.ask("/write/new.txt")
    assert {"app.py", "new.txt"} <= set(names)
    assert "secret.txt" not in names


def test_its_last_lines_are_kept_and_logged(engine, spec, caplog):
    caplog.set_level("INFO", "trivet")
    with started(engine, spec) as one:
        one.ask("/print/hello")
        until(lambda: {"hello", "hello as an error"} <= set(one.application.tail()))
        assert len(one.application.tail(1)) == 1
        until(lambda: "hello as an error" in caplog.text)


def test_how_it_ended_and_its_last_words_are_known(engine, spec):
    with started(engine, spec) as one:
        assert one.does("/exit/3").startswith("ended with 3")
        assert one.application.tail()[-1] == "it exits"
        assert not answers(one.application.port)


def test_one_that_is_killed_has_perhaps_had_too_little_memory(engine, spec):
    # below a shell: the first process of a container cannot be killed from within
    with started(engine, replace(spec, command=("sh", "-c", "python app.py & wait $!"))) as one:
        ended = one.does("/kill/9")
    assert ended.startswith("ended with 137")
    assert "memory" in ended


def test_one_that_uses_too_much_memory_is_ended(engine, spec):
    with started(engine, replace(spec, resources=Resources(memory=128 << 20))) as one:
        assert one.ask("/eat/10") == 1
        ended = one.does("/eat/500")
    assert ended.startswith("ended with 137")
    assert "memory" in ended


def test_it_is_asked_to_end(engine, spec):
    with started(engine, spec) as one:
        one.application.stop(20)
        assert one.application.ended.startswith("ended with 0")
        assert one.application.tail()[-1] == "it ends"
        assert not answers(one.application.port)


def test_it_is_ended_where_it_does_not_end_itself(engine, spec):
    with started(engine, spec, env={"STUBBORN": "1"}) as one:
        one.application.stop(0.2)
        assert one.application.ended.startswith("ended with 137")
        assert not answers(one.application.port)


def test_commands_run_beside_it(engine, spec):
    with started(engine, spec) as one:
        assert one.application.run(["python", "-c", "open('app.py')"], 20)
        assert not one.application.run(["python", "-c", "open('none')"], 20)
        assert not one.application.run(["no-such-command"], 20)
        assert not one.application.run(["sleep", "100"], 0.3)
        assert one.predict([1]) == [1]
        one.application.stop(5)
        assert not one.application.run(["true"], 20)


def test_a_command_that_there_is_not_is_told(engine, spec):
    try:
        with begun(engine, replace(spec, command=("no-such-command",))) as one:
            ended = until(lambda: one.application.ended)
            told = "\n".join([ended, *one.application.tail()])
    except FailedPrecondition as error:
        told = str(error)
    assert "no-such-command" in told


def test_two_run_side_by_side(engine, spec):
    with started(engine, spec, env={"NAME": "a"}) as a, started(engine, spec, env={"NAME": "b"}) as b:
        assert [one.ask("/environment")["NAME"] for one in (a, b)] == ["a", "b"]
        a.application.stop(5)
        assert b.predict([1]) == [1]


def test_the_same_folder_is_prepared_once(engine, spec, tmp_path):
    shutil.copytree(spec.folder, tmp_path / "folder")
    (tmp_path / "folder/greeting.txt").write_text(str(tmp_path))  # a content that nothing was made of before
    mine = replace(spec, folder=tmp_path / "folder", cache=tmp_path / "cache")
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(lambda _: engine.prepare(mine, lambda line: None), range(4))
    assert others == [first] * 3
    lines = []
    assert engine.prepare(mine, lines.append) == first
    assert lines == []


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("FROM python:3.11-slim\nCOPY none.txt /\nCMD a", "none.txt"),
        ("FROM python:3.11-slim\nRUN pip install /no-such.whl\nCMD a", "no-such.whl"),
        ("FROM python:3.11-slim\nNONSENSE\nCMD a", "NONSENSE"),
        ("", "Dockerfile"),
    ],
)
def test_a_folder_that_cannot_be_built_is_told_why(engine, cache, tmp_path, file, told):
    (tmp_path / "Dockerfile").write_text(file)
    with pytest.raises(FailedPrecondition, match=told):
        engine.prepare(ContainerSpec(folder=tmp_path, cache=cache), lambda line: None)


def test_an_image_that_there_is_not_is_told(engine, cache):
    with pytest.raises(ServingError, match="no-such-image"):
        engine.prepare(ContainerSpec(image="localhost/no-such-image:1", cache=cache), lambda line: None)


OWNER = """
import sys, threading
from pathlib import Path
from tests.contract.applications.running import started
from trivet.containers import registry
from trivet.containers.oci.content import digest
from trivet.core.containers import ContainerSpec
name, folder, cache = sys.argv[1:]
with started(registry.engines()[name], ContainerSpec(folder=Path(folder), cache=Path(cache))) as one:
    one.ask("/start")
    print(one.application.port, flush=True)
    threading.Event().wait()
"""


@pytest.mark.parametrize("env", [{}, {"STUBBORN": "1"}], ids=["", "stubborn"])
def test_it_ends_when_the_process_that_started_it_is_killed(engine, spec, env):
    command = [sys.executable, "-c", OWNER, engine.name, str(spec.folder), str(spec.cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}) as owner:
        port = int(owner.stdout.readline())
        assert answers(port)
        owner.kill()
    until(lambda: not answers(port), within=15)


class TestGunicorn:
    """The image of Google's samples: no command, `prestart.sh`, and an application by MODULE_NAME."""

    @pytest.fixture
    def spec(self, cache):
        return ContainerSpec(folder=FOLDER / "web", cache=cache)

    def test_prestart_is_run_before_and_sets_variables(self, engine, spec):
        with started(engine, spec) as one:
            env = one.ask("/environment")
            assert env["FROM_PRESTART"] == "yes"
            assert env["PORT"] == env["AIP_HTTP_PORT"]
            assert one.predict(SHAPES) == SHAPES

    def test_one_image_has_several_applications(self, engine, spec):
        with started(engine, spec) as simple, started(engine, spec, env={"MODULE_NAME": "main2"}) as detailed:
            assert simple.predict([1]) == [1]
            assert detailed.predict([1]) == DETAILED

    def test_a_module_that_there_is_not_is_told(self, engine, spec):
        with begun(engine, spec, env={"MODULE_NAME": "none"}) as one:
            assert until(lambda: one.application.ended).startswith("ended with ")
            assert "No module named 'none'" in "\n".join(one.application.tail(100))


def test_what_was_built_is_kept_until_it_is_removed_and_not_removed_while_it_is_used(engine, spec, tmp_path):
    shutil.copytree(spec.folder, tmp_path / "folder")
    (tmp_path / "folder/requirements.txt").write_text("# of this test alone\n")
    own = replace(spec, folder=tmp_path / "folder", cache=tmp_path / "cache")
    environment = engine.prepare(own, print).environment
    name = str(environment or f"localhost/trivet/application:{digest(own.folder)[:32]}")

    def kept():
        return next((one for one in engine.kept(own.cache) if one.name == name), None)

    since = time.time()
    with started(engine, own):
        assert kept().running
        assert since - 2 < kept().used < time.time() + 2
        assert kept().size > 1000
    until(lambda: not kept().running)
    one = kept()
    assert one.remove()
    assert not one.remove()
    assert kept() is None
    with started(engine, own) as again:  # it is built anew
        assert again.predict([1]) == [1]
