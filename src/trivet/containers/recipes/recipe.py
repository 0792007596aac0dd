"""What an application is made of and how it is started, read from its folder: a Dockerfile or a Procfile.

A process does what a Dockerfile says, as far as it can without being a container: it copies files, installs
Python's packages and starts the command. Nothing else of a RUN is run, since it would change this machine.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import join, normpath

from trivet.containers.recipes import bases, dockerfile, pip_commands, procfile
from trivet.containers.recipes.dockerfile import Instruction, replaced
from trivet.core.errors import FailedPrecondition

REQUIREMENTS = "requirements.txt"
_HOME = "/app"
_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Copied:
    """Files of the folder, by pattern, that go to a path in the image; a folder has a `/` at its end."""

    sources: tuple[str, ...]
    target: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Installed:
    """Arguments of one `pip install`, and the folder in the image in which it runs."""

    arguments: tuple[str, ...]
    folder: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make and start an application. All paths are those in the image.

    It is started in `folder` by `entrypoint` and `command` together. `notes` say what is not done.
    """

    base: bases.Base = field(default_factory=bases.Base)
    folder: str = "/"
    copies: tuple[Copied, ...] = ()
    installs: tuple[Installed, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(folder: Path) -> Recipe:
    """Read an application's folder; one that has neither file is all copied, and says no command.

    Raises FailedPrecondition where a file cannot be read, or asks for what only a container can have.
    """
    for name in (dockerfile.NAME, "Containerfile"):
        if (folder / name).is_file():
            try:
                text = (folder / name).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise FailedPrecondition(f"{name}: cannot be read: {error}") from None
            return of_dockerfile(text, _requirements(folder))
    web = procfile.web(folder)
    command = (*_SHELL, web) if web else ()
    installs = (Installed(("-r", REQUIREMENTS), _HOME),) if _requirements(folder) else ()
    return Recipe(folder=_HOME, copies=(Copied((".",), f"{_HOME}/"),), installs=installs, command=command)


def of_dockerfile(text: str, requirements: str = "") -> Recipe:
    """Read a Dockerfile. `requirements` is a file of the folder to install from if it installs nothing."""
    reader = _Reader()
    for instruction in dockerfile.read(text):
        reader.take(instruction)
    found = reader.recipe
    if found is None:
        raise FailedPrecondition(f"{dockerfile.NAME}: it has no FROM")
    if requirements and not found.installs:
        lines = (Copied((requirements,), f"/tmp/{REQUIREMENTS}"),)
        installs = (Installed(("-r", f"/tmp/{REQUIREMENTS}"), found.folder),)
        return replace(found, copies=(*found.copies, *lines), installs=installs)
    return found


def _requirements(folder: Path) -> str:
    return REQUIREMENTS if (folder / REQUIREMENTS).is_file() else ""


class _Reader:
    """Follows a Dockerfile's instructions; the recipe is that of the stage which began last."""

    def __init__(self) -> None:
        self.recipe: Recipe | None = None
        self._stages: dict[str, Recipe] = {}
        self._names: tuple[str, ...] = ("-1",)  # of the stage: its number, and the name that it may have
        self._arguments: dict[str, str] = {}  # before the first FROM
        self._variables: dict[str, str] = {}
        self._shell: tuple[str, ...] = _SHELL
        self._has_command = False

    def take(self, one: Instruction) -> None:
        """Follow one instruction."""
        if one.name == "ARG":
            self._arg(one)
        elif one.name == "FROM":
            self._from(one)
        elif self.recipe is None:
            raise one.wrong(f"expected FROM before {one.name}")
        elif step := _STEPS.get(one.name):
            self.recipe = step(self, one, self.recipe)
            self._keep(self.recipe)

    def _arg(self, one: Instruction) -> None:
        known = self._arguments if self.recipe is None else self._variables
        for word in one.words(known):
            name, given, value = word.partition("=")
            if self.recipe is not None and name in self.recipe.env:
                continue  # which goes before
            if given:
                known[name] = value
            elif name in self._arguments:
                known[name] = self._arguments[name]

    def _from(self, one: Instruction) -> None:
        words = one.words(self._arguments)
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS") or not words[0]:
            raise one.wrong(f"expected FROM IMAGE or FROM IMAGE AS NAME, got FROM {one.text}")
        image = words[0]
        self._names = (str(int(self._names[0]) + 1), *(name.lower() for name in words[2:]))
        self._shell = _SHELL
        if image.lower() in self._stages:
            self.recipe = self._stages[image.lower()]
            self._has_command = False
        else:
            base = bases.of(image)
            notes = () if base.plain else (f"what the image {image} brings is not here",)
            self.recipe = Recipe(base, base.folder, env=base.env, command=base.command, notes=notes)
            self._has_command = False
        self._variables = dict(self.recipe.env)
        self._keep(self.recipe)

    def _keep(self, recipe: Recipe) -> None:
        self._stages |= dict.fromkeys(self._names, recipe)

    def _workdir(self, one: Instruction, so_far: Recipe) -> Recipe:
        return replace(so_far, folder=normpath(join(so_far.folder, replaced(one.text, self._variables))))

    def _env(self, one: Instruction, so_far: Recipe) -> Recipe:
        words = one.words(self._variables)
        if words and "=" not in words[0]:  # the old form
            name, _, value = one.text.partition(" ")
            given = {name: replaced(value.strip(), self._variables)}
        else:
            given = dict(_pair(one, word) for word in words)
        self._variables |= given
        return replace(so_far, env={**so_far.env, **given})

    def _copy(self, one: Instruction, so_far: Recipe) -> Recipe:
        flags = dict(flag.partition("=")[::2] for flag in one.flags)
        if source := flags.get("--from"):
            if source.lower() not in self._stages:
                return _noted(so_far, one, f"there is no image {source} to copy from")
            raise one.wrong(
                f"{one.name} --from={source} copies from another stage, which only a container can have"
            )
        words = one.words(self._variables)
        if one.documents or len(words) < 2:
            raise one.wrong(f"{one.name}: expected files of the folder, and where they go")
        *sources, target = words
        for source in sources:
            if one.name == "ADD" and (
                "://" in source or source.endswith((".tar", ".gz", ".tgz", ".bz2", ".xz"))
            ):
                raise one.wrong(f"ADD {source}: expected files to copy; nothing is fetched or unpacked")
        folder = target.endswith(("/", "/.")) or target in (".", "") or len(sources) > 1
        path = normpath(join(so_far.folder, target))
        path = f"{path.rstrip('/')}/" if folder else path
        return replace(so_far, copies=(*so_far.copies, Copied(tuple(sources), path, one.line)))

    def _run(self, one: Instruction, so_far: Recipe) -> Recipe:
        words = one.list
        text = one.documents[0] if one.documents else shlex.join(words) if words else one.text
        try:
            script = pip_commands.read(text, self._variables)
        except ValueError as error:
            return _noted(so_far, one, f"it cannot be read ({error})")
        installs = tuple(Installed(one_, so_far.folder, one.line) for one_ in script.installs)
        found = replace(so_far, installs=(*so_far.installs, *installs))
        return _noted(found, one, f"{script.others[0][:80]!r} is not run") if script.others else found

    def _command(self, one: Instruction, so_far: Recipe) -> Recipe:
        self._has_command = True
        return replace(so_far, command=self._started(one))

    def _entrypoint(self, one: Instruction, so_far: Recipe) -> Recipe:
        # what the base image would do is not its argument
        command = so_far.command if self._has_command else ()
        return replace(so_far, entrypoint=self._started(one), command=command)

    def _started(self, one: Instruction) -> tuple[str, ...]:
        if one.list is not None:
            return one.list
        if one.text.startswith("[") and one.text.endswith("]"):
            raise one.wrong(f'{one.name}: expected ["WORD", ...] with double quotes, got {one.text[:80]}')
        return (*self._shell, one.text) if one.text else ()

    def _set_shell(self, one: Instruction, so_far: Recipe) -> Recipe:
        if not one.list:
            raise one.wrong(f'SHELL: expected ["PROGRAM", ...], got {one.text[:80]}')
        self._shell = one.list
        return so_far


_STEPS = {
    "WORKDIR": _Reader._workdir,
    "ENV": _Reader._env,
    "COPY": _Reader._copy,
    "ADD": _Reader._copy,
    "RUN": _Reader._run,
    "CMD": _Reader._command,
    "ENTRYPOINT": _Reader._entrypoint,
    "SHELL": _Reader._set_shell,
}
"""What an instruction adds. Others say nothing that a process could do: USER, EXPOSE, LABEL, VOLUME, ..."""


def _pair(one: Instruction, word: str) -> tuple[str, str]:
    name, given, value = word.partition("=")
    if not given or not name:
        raise one.wrong(f"ENV: expected NAME=VALUE, got {word[:40]!r}")
    return name, value


def _noted(recipe: Recipe, one: Instruction, told: str) -> Recipe:
    return replace(recipe, notes=(*recipe.notes, f"{dockerfile.NAME}, line {one.line}: {told}"))
