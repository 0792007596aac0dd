import click
import pytest
from click.testing import CliRunner

from trivet.cli import image
from trivet.core.errors import InvalidArgument


def spec(*args):
    """Return what options say; raises what they are refused with."""

    @click.command()
    @image.options
    def command(**given):
        said.append(image.spec(given))

    said = []
    result = CliRunner().invoke(command, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return said[0]


def test_options_are_the_fields_of_a_container_spec():
    told = spec(
        "--image", "example.com/mine:1", "--env", "MODULE_NAME=main2", "--env", "A=b=c", "--port", "9000",
        "--predict-route", "/predict", "--health-route", "/health", "--command", "sh -c 'exec app'",
        "--arg", "--fast", "--arg", "two words", "--start-timeout", "90",
    )  # fmt: skip
    assert told == {
        "imageUri": "example.com/mine:1",
        "command": ["sh", "-c", "exec app"],
        "args": ["--fast", "two words"],
        "env": [{"name": "MODULE_NAME", "value": "main2"}, {"name": "A", "value": "b=c"}],
        "ports": [{"containerPort": 9000}],
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "deploymentTimeout": "90s",
    }
    assert spec("--image", "mine", "--invoke-prefix", "/*") == {"imageUri": "mine", "invokeRoutePrefix": "/*"}
    assert spec() == {}


def test_a_folder_is_given_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "app").mkdir()
    assert spec("--image", "app") == {"imageUri": str(tmp_path / "app")}
    assert spec("--image", "./other") == {"imageUri": str(tmp_path / "other")}
    assert spec("--image", "~/app") == {"imageUri": "/home/me/app"}
    assert spec("--image", "file:///srv/app") == {"imageUri": "file:///srv/app"}
    assert spec("--image", "trivet/onnx") == {"imageUri": "trivet/onnx"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--env", "A=b"), "--env: it is said of the model's own container"),
        (("--arg", "b"), "--arg: it is said"),
        (("--image", "mine", "--env", "A"), "--env 'A': expected NAME=VALUE"),
        (("--image", "mine", "--command", "sh 'a"), '--command "sh \'a": No closing quotation'),
    ],
)
def test_what_cannot_be_meant_is_refused(args, message):
    with pytest.raises(InvalidArgument, match=message):
        spec(*args)


def test_it_is_shown_line_by_line():
    told = spec("--image", "mine", "--env", "A=b c", "--command", "sh -c 'a b'", "--port", "90")
    shown = {name: value for name, value in image.facts(told).items() if value}
    assert shown == {"image": "mine", "env": "'A=b c'", "command": "sh -c 'a b'", "port": "90"}


def test_folders_are_completed():
    [item] = image.ImageType().shell_complete(None, None, "my-p")
    assert (item.value, item.type) == ("my-p", "dir")
