"""What is an application, and what is refused before one is started."""

from pathlib import Path

import numpy as np
import pytest

from trivet.containers.asking import Reply
from trivet.containers.life import Listening, State
from trivet.core.containers import ContainerSpec
from trivet.core.errors import FailedPrecondition, Internal, InvalidArgument, NotFound, PermissionDenied
from trivet.core.instances import Instances, object_column
from trivet.runtimes.base import Applications, Artifact, OwnProcess, Permissions
from trivet.runtimes.container import RUNTIME, ContainerPredictor
from trivet.runtimes.registry import detect
from trivet.serving.lifecycle import find


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("app = 1\n")
    return tmp_path


@pytest.mark.parametrize("name", ["Dockerfile", "Procfile"])
def test_a_folder_that_says_how_it_is_started_is_an_application(folder, name):
    assert not RUNTIME.recognises(folder)
    (folder / name).write_text("")
    assert detect(folder) == ("container", folder)


def test_files_and_what_is_not_there_are_none(tmp_path):
    file = tmp_path / "Dockerfile"
    file.write_text("FROM scratch\n")
    assert not RUNTIME.recognises(file)
    assert not RUNTIME.recognises(tmp_path / "missing")
    (tmp_path / "folder" / "Dockerfile").mkdir(parents=True)
    assert not RUNTIME.recognises(tmp_path / "folder")


def test_a_folder_that_is_two_kinds_of_models_must_be_named(folder):
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "predictor.py").write_text("class Predictor:\n    def predict(self, x): return x\n")
    with pytest.raises(InvalidArgument, match=r"several models: .*container.*name its framework"):
        detect(folder)


def test_a_container_needs_no_files():
    assert find(Path(), "container") == ("container", Path())
    assert isinstance(RUNTIME, Applications)
    assert isinstance(RUNTIME, OwnProcess)


@pytest.mark.parametrize(
    ("path", "spec", "kind", "told"),
    [
        ("", ContainerSpec(), FailedPrecondition, "either an image or an application's folder"),
        ("", ContainerSpec(image="a", folder=Path("/")), FailedPrecondition, "either an image or"),
        ("missing", None, NotFound, "missing: there is no such file or folder"),
        ("missing", ContainerSpec(image="a"), NotFound, "missing: there is no such file or folder"),
        ("app", None, FailedPrecondition, "app: expected a folder with Dockerfile or Procfile, or a command"),
    ],
)
def test_what_cannot_be_started_is_refused(folder, path, spec, kind, told):
    artifact = Artifact(folder / path if path else Path(), container=spec)
    with pytest.raises(kind, match=told):
        RUNTIME.load(artifact)


def test_it_is_not_even_looked_at_where_that_is_not_allowed(tmp_path):
    artifact = Artifact(tmp_path / "missing", permissions=Permissions(containers=False))
    with pytest.raises(PermissionDenied, match=r"artifacts\.allow_containers"):
        RUNTIME.load(artifact)


class Started:
    """Answers as it was told, and keeps what it was asked."""

    state = State(8080, well=True)

    def __init__(self, *replies, rows=64):
        self.spec = ContainerSpec(image="a", rows=rows)
        self.asked = []
        self.replies = list(replies)
        self.closed = False

    def watch(self, tell):
        tell(self.state)

    def close(self):
        self.closed = True


class Connection:
    def __init__(self, started):
        self.started = started

    def post(self, body):
        self.started.asked.append(body)
        return Reply(*self.started.replies.pop(0))

    def close(self):
        pass


@pytest.fixture
def predictor(monkeypatch):
    def make(*replies, rows=64):
        predictor = ContainerPredictor(Started(*replies, rows=rows))
        monkeypatch.setattr(predictor, "asking", lambda: Connection(predictor.started))
        return predictor

    return make


def ask(predictor, values, parameters=None):
    instances = Instances({"instance": object_column(values)}, len(values))
    return predictor.predict(instances, parameters or {}).columns["prediction"].tolist()


def test_rows_are_asked_about_in_requests_of_so_many(predictor):
    made = predictor(
        (200, None, b'{"predictions":[1,2]}'), (200, None, b'{"predictions":["c"]}'), rows=2
    )  # fmt: skip
    assert ask(made, [[1], None, "c"], {"k": 1}) == [1, 2, "c"]
    assert made.started.asked == [
        b'{"instances":[[1],null],"parameters":{"k":1}}', b'{"instances":["c"],"parameters":{"k":1}}',
    ]  # fmt: skip


def test_bad_answers_are_told_and_the_connection_is_used_again(predictor):
    made = predictor((422, None, b"no"), (200, None, b"[]"), (200, None, b'{"predictions":[1]}'))
    with pytest.raises(InvalidArgument, match="the container answered 422: 'no'"):
        ask(made, [1])
    with pytest.raises(Internal, match="the container answered"):
        ask(made, [1])
    assert ask(made, [1]) == [1]
    assert len(made._idle) == 1


def test_what_json_cannot_carry_is_refused(predictor):
    with pytest.raises(InvalidArgument, match="not valid JSON"):
        ask(predictor(), [np.int64])


def test_it_is_listening_and_closes(predictor):
    made = predictor()
    states = []
    made.watch(states.append)
    assert isinstance(made, Listening)
    assert states == [made.state]
    made.close()
    assert made.started.closed
