"""How models are named on the command line: `PATH`, `NAME=PATH`, `NAME@VERSION=FRAMEWORK:PATH`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from trivet.core.errors import InvalidArgument

if TYPE_CHECKING:
    from trivet.settings import Model

_FRAMEWORK = re.compile(r"([a-z][a-z0-9_]*):(?!//)(.*)", re.DOTALL)
_NAMED = re.compile(r"([^=/:]+)=(.*)", re.DOTALL)


def parse(text: str) -> tuple[str, str, str]:
    """Return name, framework ("" if not given) and path; the name is taken from the path if not given.

    Raises InvalidArgument for text without a path.
    """
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2]) if named else ("", text)
    framework, path = "", rest
    if not Path(rest).exists() and (typed := _FRAMEWORK.fullmatch(rest)):
        framework, path = typed[1], typed[2]
    if not path and not _without_artifact(framework):
        raise InvalidArgument(f"{text!r}: expected [NAME[@VERSION]=][FRAMEWORK:]PATH")
    return name or _name(path or framework), framework, path


def _without_artifact(framework: str) -> bool:
    if not framework:
        return False
    from trivet.runtimes.base import WithoutArtifact
    from trivet.runtimes.registry import get_runtime

    return isinstance(get_runtime(framework), WithoutArtifact)


def _name(path: str) -> str:
    from trivet.core.names import name_from

    local = Path(path.rstrip("/"))
    named = local.resolve() if "://" not in path else local
    return name_from(named.name if named.is_dir() else named.stem)


def settings(texts: Sequence[str], options: dict[str, Any]) -> dict[str, "Model"]:
    """Return the models of a command line; `options` hold for each of them."""
    from trivet.settings import Model

    models: dict[str, Model] = {}
    for text in texts:
        name, framework, path = parse(text)
        if name in models:
            raise InvalidArgument(f"{name}: named twice; give versions as {name}@1=... {name}@2=...")
        models[name] = Model(path=path, framework=framework, **options)
    return models


class ModelType(click.ParamType[str]):
    """Completes the paths of models."""

    name = "model"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete file names."""
        return [CompletionItem(incomplete, type="file")]
