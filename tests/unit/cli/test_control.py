import json

import pytest
from click.testing import CliRunner

from trivet.cli import main
from trivet.cli.control import Control, look, pairs
from trivet.cli.deployed import shown, split
from trivet.core.errors import InvalidArgument
from trivet.core.resources import Location

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TRIVET_CONFIG", "TRIVET_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write_server(data, **said):
    data.mkdir()
    (data / "server.json").write_text(json.dumps(said))


def test_the_server_is_that_of_the_data_folder(folder):
    write_server(folder / ".trivet", http="http://127.0.0.1:1234", tls="https://127.0.0.1:8443", pid=7)
    found = look()()
    assert found.addresses == {"http": "http://127.0.0.1:1234", "tls": "https://127.0.0.1:8443"}
    assert (found.process, found.home) == (7, Location("local", "us-central1"))
    assert found.since > 0


def test_the_data_folder_may_be_another(folder, monkeypatch):
    write_server(folder / "a", http="http://a:1")
    write_server(folder / "b", http="http://b:1")
    monkeypatch.setenv("TRIVET_DATA", "b")
    assert look()().addresses["http"] == "http://b:1"
    assert look(data="a")().addresses["http"] == "http://a:1"


def test_an_address_that_is_given_goes_before_all(folder):
    write_server(folder / ".trivet", http="http://a:1", pid=7)
    found = look("http://b:2/")()
    assert (found.addresses, found.process) == ({"http": "http://b:2"}, 0)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"http": "http://a:1", "pid": "x"}', None])
def test_without_one_it_is_where_servers_are_by_default(folder, content):
    if content is not None:
        (folder / ".trivet").mkdir()
        (folder / ".trivet/server.json").write_text(content)
    assert look()().addresses == {"http": "http://127.0.0.1:8080"}


def test_the_settings_say_which_port_and_what_plain_names_mean(folder):
    (folder / "trivet.toml").write_text(
        '[server]\nport = 9000\n[catalog]\nproject = "p"\nlocation = "europe-west1"\n'
    )
    found = look()()
    assert (found.addresses["http"], found.home) == ("http://127.0.0.1:9000", Location("p", "europe-west1"))
    assert look(project="q")().home == Location("q", "europe-west1")


def test_names_may_be_plain_or_full():
    control = Control(look(NOWHERE))
    full = "projects/p/locations/l/models/fraud@2"
    assert str(control.name("models", "fraud@2")) == "projects/local/locations/us-central1/models/fraud@2"
    assert str(control.name("models", full)) == full
    assert control.short(control.name("models", "fraud@2")) == "fraud@2"
    assert control.short(full) == full
    with pytest.raises(InvalidArgument, match="'a b': expected a name such as fraud"):
        control.name("models", "a b")
    with pytest.raises(InvalidArgument, match="/endpoints/ID"):
        control.name("endpoints", full)


def test_labels_have_a_key_and_a_value():
    assert pairs(("a=b", "c=", "d=e=f"), "--label") == {"a": "b", "c": "", "d": "e=f"}
    with pytest.raises(InvalidArgument, match="--label 'a': expected KEY=VALUE"):
        pairs(("a",), "--label")


def test_deployed_models_are_called_by_their_model_and_what_says_more():
    one = {"id": "1", "model": "projects/p/locations/l/models/17", "modelVersionId": "2"}
    assert shown({**one, "displayName": "fraud"}) == "17@2 (fraud)"
    assert shown({**one, "displayName": "17"}) == "17@2"
    assert split({"deployedModels": [one], "trafficSplit": {"1": 100}}) == "17@2 100 %"
    assert split({}) == ""


@pytest.mark.parametrize(
    "command",
    [
        "model upload m f",
        "model ls",
        "model show m",
        "model alias m +a -b",
        "model copy m n",
        "model rm m",
        "endpoint create e",
        "endpoint ls",
        "endpoint show e",
        "endpoint rm e",
        "deploy m --to e",
        "undeploy m --from e",
        "traffic e m=100",
        "status",
        "status --json",
        "status --watch",
    ],
)
def test_without_a_server_every_command_says_how_to_start_one(command):
    result = CliRunner().invoke(main, [*command.split(), "--server", NOWHERE])
    assert result.exit_code == 1
    assert result.stderr == f"Error: no server at {NOWHERE}: start one with `trivet up`\n"


@pytest.mark.parametrize("group", ["model", "endpoint"])
def test_every_command_below_a_group_explains_itself(group):
    for name in main.get_command(None, group).commands:
        told = CliRunner().invoke(main, [group, name, "--help"]).output
        assert told.startswith(f"Usage: main {group} {name} [OPTIONS]")
        assert "--server URL" in told


@pytest.mark.parametrize("words", ["deploy f", "traffic s f", "undeploy f", "model show f@", "endpoint rm "])
def test_completion_is_silent_without_a_server(words):
    arguments = f"trivet {words}"
    environment = {
        "_TRIVET_COMPLETE": "zsh_complete",
        "COMP_WORDS": arguments,
        "COMP_CWORD": str(len(arguments.split(" ")) - 1),
    }
    result = CliRunner().invoke(main, [], env=environment, prog_name="trivet")
    assert (result.stdout.strip(), result.stderr) == ("", "")
