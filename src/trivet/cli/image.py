"""The container of a model's own on the command line: the options that describe it, and how it is shown."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from trivet.cli.control import Json
from trivet.core.errors import InvalidArgument


class ImageType(click.ParamType[str]):
    """Completes folders, which may stand for images."""

    name = "image"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete names of folders."""
        return [CompletionItem(incomplete, type="dir")]


_OPTIONS = (
    click.option(
        "--image",
        metavar="FOLDER_OR_IMAGE",
        type=ImageType(),
        help="The model's own container: the folder of an application (with a Dockerfile or Procfile), or an "
        "image of podman or docker. Or, for models that are served without one, Google's prebuilt container "
        "that the files are made for, trivet/FRAMEWORK (as trivet/onnx), or trivet (the files tell).",
    ),
    click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="Variable of it; may repeat."),
    click.option("--port", type=click.IntRange(1, 65535), help="Port that it listens on.  [default: 8080]"),
    click.option("--predict-route", metavar="PATH", help="Where it predicts.  [default: told to it]"),
    click.option("--health-route", metavar="PATH", help="Where it tells its health.  [default: told to it]"),
    click.option("--invoke-prefix", metavar="/*", help="Paths of its own that may be called instead."),
    click.option(
        "--command", "command", metavar="WORDS", help="In place of its ENTRYPOINT, quoted as in a shell."
    ),
    click.option("--arg", "args", multiple=True, help="In place of its CMD; may repeat."),
    click.option("--start-timeout", type=click.IntRange(min=1), help="Seconds until it must be well."),
)
_ABOUT = {
    "--env": "env",
    "--port": "port",
    "--predict-route": "predict_route",
    "--health-route": "health_route",
    "--invoke-prefix": "invoke_prefix",
    "--command": "command",
    "--arg": "args",
    "--start-timeout": "start_timeout",
}


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a container."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def spec(given: Mapping[str, Any]) -> Json:
    """Return the containerSpec that the options say; empty where they say none.

    Raises InvalidArgument for options without an image, and for variables without a value.
    """
    image = given["image"]
    if not image:
        if said := next((option for option, name in _ABOUT.items() if given[name]), ""):
            raise InvalidArgument(f"{said}: it is said of the model's own container; name that with --image")
        return {}
    timeout = given["start_timeout"]
    spoken: Json = {
        "imageUri": str(Path(image).expanduser().absolute()) if _is_folder(image) else image,
        "command": _words(given["command"]),
        "args": list(given["args"]),
        "env": [{"name": name, "value": value} for name, value in map(_variable, given["env"])],
        "ports": [{"containerPort": given["port"]}] if given["port"] else [],
        "predictRoute": given["predict_route"],
        "healthRoute": given["health_route"],
        "invokeRoutePrefix": given["invoke_prefix"],
        "deploymentTimeout": f"{timeout}s" if timeout else "",
    }
    return {name: value for name, value in spoken.items() if value}


def facts(given: Json) -> dict[str, str]:
    """Return what a containerSpec says, line by line."""
    ports = [str(one.get("containerPort", "")) for one in given.get("ports", [])]
    env = [f"{one.get('name', '')}={one.get('value', '')}" for one in given.get("env", [])]
    return {
        "image": given.get("imageUri", ""),
        "env": shlex.join(env),
        "command": shlex.join(given.get("command", [])),
        "args": shlex.join(given.get("args", [])),
        "port": ", ".join(ports),
        "predict route": given.get("predictRoute", ""),
        "health route": given.get("healthRoute", ""),
        "invoke prefix": given.get("invokeRoutePrefix", ""),
    }


def _is_folder(image: str) -> bool:
    """Whether an image is a folder: it is written as a path, or is there."""
    return "://" not in image and (image.startswith((".", "/", "~")) or Path(image).is_dir())


def _words(command: str | None) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError as error:
        raise InvalidArgument(f"--command {command!r}: {error}") from None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument(f"--env {text!r}: expected NAME=VALUE")
    return name, value
