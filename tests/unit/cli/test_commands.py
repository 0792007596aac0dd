import json

import pytest
from click.testing import CliRunner

from trivet.cli import COMMANDS, main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "TRIVET_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments, **options: CliRunner().invoke(main, arguments, **options)


def test_help_teaches_with_commands_to_copy(run):
    told = run("--help").output
    assert "trivet serve model.onnx" in told
    assert all(f"\n  {name} " in told for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    assert run(command, "--help").output.startswith(f"Usage: main {command}")


def test_a_mistake_is_one_line_and_status_1(run):
    result = run("serve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: nothing to serve: name a model, as in `trivet serve model.onnx`\n"


def test_config_prints_values_and_where_they_come_from(run, tmp_path):
    (tmp_path / "trivet.toml").write_text("[server]\nport = 9000\n[models.a]\npath = 'a.onnx'\n")
    result = run("config", env={"TRIVET_LOG_LEVEL": "debug"})
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line}
    assert rows["server.port"] == ["9000", "trivet.toml"]
    assert rows["log.level"] == ["debug", "TRIVET_LOG_LEVEL"]
    assert rows["models.a.path"][0] == "a.onnx"
    shown = json.loads(run("config", "--json").output)
    assert shown["server.port"] == {"value": 9000, "source": "trivet.toml"}
    assert shown["limits.max_instances"]["source"] == "default"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret@db:5432/t", "postgresql+psycopg://me:***@db:5432/t"),
        ("postgresql://me:s/e?c#r:secret@db/t?a=b", "postgresql://me:***@db/t?a=b"),
        ("postgresql://me:secret@secret@db/t", "postgresql://me:***@db/t"),
        ("postgresql://:secret@[::1]/t", "postgresql://:***@[::1]/t"),
        ("postgresql://me@db/t?sslpassword=secret&password=secret", None),
        ("postgresql://me@db:5432/t", "postgresql://me@db:5432/t"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_config_keeps_passwords_to_itself(run, url, shown):
    shown = shown or "postgresql://me@db/t?sslpassword=***&password=***"
    for arguments in (["config"], ["config", "--json"]):
        told = run(*arguments, env={"TRIVET_CATALOG_URL": url, "COLUMNS": "200"}).output
        assert "secret" not in told
        assert shown in told


def test_config_refuses_a_wrong_file(run, tmp_path):
    (tmp_path / "trivet.toml").write_text("[server]\nprot = 9000\n")
    assert "did you mean server.port?" in run("config").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell):
    assert "_TRIVET_COMPLETE" in run("completion", shell).output


def test_inspect_as_json_and_as_a_table(run):
    shown = json.loads(run("inspect", "echo:", "--json").output)
    assert (shown["framework"], shown["name"]) == ("echo", "echo")
    told = run("inspect", "echo:").output
    assert "would run" in told
    assert "curl http://localhost:8080/v1/models/echo:predict" in told


def test_inspect_does_not_run_a_predictor(run, tmp_path):
    (tmp_path / "predictor.py").write_text(
        "raise SystemExit('ran')\nclass Predictor:\n    def predict(self, x): ..."
    )
    assert "allow it with --allow-python" in run("inspect", ".").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m"], "either --input FILE or --instance JSON"),
        (["m", "-i", "{"], "line 1: not valid JSON"),
        (["m", "-i", "1", "--parameters", "[]"], "--parameters: expected a JSON object"),
        (["m", "-i", "1"], "is it running? Start it with `trivet serve`"),
    ],
)
def test_predict_says_what_is_wrong(run, arguments, message):
    result = run("predict", "http://127.0.0.1:9", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_predict_needs_a_server_address(run):
    assert "expected a server like http://localhost:8080" in run("predict", "ftp://x", "m", "-i", "1").stderr
