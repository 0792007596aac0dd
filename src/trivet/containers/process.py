"""Runs the applications of folders as processes, where there is no container engine.

Each has a virtual environment of its own, files of its own laid out as its image would have them, and an
environment in which nothing is the server's. It is ended with all that it has started when whoever started it
is, by `guard`. It is no sandbox: it runs with the server's rights, and sees this machine's files and network.
"""

import logging
import math
import os
import random
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from trivet.containers import inherited
from trivet.containers.base import Kept, Near, Prepared, Says
from trivet.containers.processes import copying, environments, listening, packages, pythons, scratch
from trivet.containers.processes.guarded import Guarded, Limits
from trivet.containers.processes.places import LOOPBACK, Places, on_loopback, on_port
from trivet.containers.processes.scratch import Scratch
from trivet.containers.recipes import recipe
from trivet.containers.recipes.recipe import Recipe
from trivet.containers.variables import expanded
from trivet.core.containers import ContainerSpec, Resources
from trivet.core.errors import FailedPrecondition

log = logging.getLogger("trivet")


class ProcessApplication:
    """An application that runs as a process of this machine."""

    def __init__(self, guarded: Guarded, port: int, env: Mapping[str, str], folder: Path) -> None:
        self.port = port
        self._guarded = guarded
        self._env = env
        self._folder = folder

    def __repr__(self) -> str:
        return f"<ProcessApplication {self._guarded!r}, port {self.port}>"

    @property
    def ended(self) -> str:
        """How it ended; empty while it runs."""
        return self._guarded.ended

    def tail(self, lines: int = 20) -> Sequence[str]:
        """Return the last lines that it printed."""
        return self._guarded.output.tail(lines)

    def run(self, command: Sequence[str], timeout: float) -> bool:
        """Run a command with the application's environment, where it runs; nothing that it starts is left."""
        if self.ended or not command:
            return False
        try:
            run = Guarded(command, env=self._env, folder=self._folder, says=_nobody)
        except FailedPrecondition as error:
            log.warning("the probe %s cannot be run: %s", command[0], error)
            return False
        try:
            return run.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            run.stop(0)

    def stop(self, grace: float) -> None:
        """Have it end, and all that it has started."""
        self._guarded.stop(grace)


class ProcessEngine:
    """Runs folders with a Dockerfile or a Procfile, or with a command of their own."""

    name = "process"

    def lacks(self) -> str:
        """Say nothing: Python is there, and so are processes."""
        return "" if os.name == "posix" else "processes are run on Linux and macOS alone"

    def near(self) -> Near:
        """Applications share this machine's network."""
        return Near()

    def prepare(self, spec: ContainerSpec, says: Says) -> Prepared:
        """Make the virtual environment of the folder's application, unless there is one."""
        folder = _folder_of(spec)
        made = recipe.read(folder)
        _command(spec, made)
        for note in made.notes:
            says(f"as a process: {note}")
        copying.found(folder, made.copies)
        python = pythons.find(made.base.python, says)
        cache = _cache(spec)
        held = scratch.make(cache / "runs")
        try:
            places = Places(held.folder / "root", cache)
            installs = []
            if made.installs or made.base.packages:
                copying.lay_out(folder, made.copies, places.at("/"))
                installs = packages.wanted(made, places)
            kept = cache / "environments"
            environment = environments.environment(kept, python, installs, packages.variables(made), says)
        finally:
            held.remove()
            held.let_go()
        return Prepared(folder=folder, environment=environment)

    def start(
        self, spec: ContainerSpec, prepared: Prepared, env: Mapping[str, str], port: int, files: Path | None
    ) -> ProcessApplication:
        """Start the application on files of its own, which are removed when it has ended."""
        assert prepared.folder is not None
        assert prepared.environment is not None
        made = recipe.read(prepared.folder)
        held = scratch.make(_cache(spec) / "runs")
        try:
            held.uses(prepared.environment)
            places = Places(held.folder / "root", prepared.environment)
            copying.lay_out(prepared.folder, made.copies, places.at("/"))
            folder = places.at(made.folder)
            folder.mkdir(parents=True, exist_ok=True)
            given = {**env, **({"TRIVET_MODEL_DIR": str(files)} if files else {})}
            whole = _environment(made, places, prepared.environment, given, held)
            command = on_loopback(_here(expanded(_command(spec, made), whole), places, folder))
            if spec.ports:
                command = on_port(command, spec.ports[0], port)
            limits = Limits(spec.resources.memory, _cpus(spec.resources))
            guarded = Guarded(
                command,
                env=whole,
                folder=folder,
                says=lambda line: log.info("%s, port %d: %s", spec.called, port, line),
                limits=limits,
                scratch=held,
            )
        except OSError as error:
            held.remove()
            raise FailedPrecondition(f"the application's files cannot be laid out: {error}") from None
        except BaseException:
            held.remove()
            raise
        finally:
            held.let_go()
        listening.watch(port, spec.called, lambda: guarded.ended)
        return ProcessApplication(guarded, port, whole, folder)

    def kept(self, cache: Path) -> Sequence[Kept]:
        """Return the virtual environments."""
        return environments.kept(cache / "environments", scratch.used(cache / "runs"))


def _nobody(line: str) -> None:
    """Hear nothing."""


def _folder_of(spec: ContainerSpec) -> Path:
    if spec.folder is None:
        raise FailedPrecondition(
            f"the image {spec.image}: only the folder of an application can be run as a process"
        )
    if not spec.folder.is_dir():
        raise FailedPrecondition(f"{spec.called}: expected the folder of an application")
    return spec.folder


def _cache(spec: ContainerSpec) -> Path:
    return (Path.home() / ".cache/trivet/containers" if spec.cache == Path() else spec.cache).absolute()


def _command(spec: ContainerSpec, made: Recipe) -> tuple[str, ...]:
    """Return what starts it, as Kubernetes has it: a command goes in place of both, arguments of CMD."""
    own = () if spec.command else made.command
    command = (*(spec.command or made.entrypoint), *(spec.args or own))
    if not command:
        raise FailedPrecondition(
            "nothing says how the application is started: expected CMD or ENTRYPOINT in its Dockerfile, "
            "a Procfile with `web: COMMAND`, or a command beside the image"
        )
    return command


def _environment(
    made: Recipe, places: Places, environment: Path, given: Mapping[str, str], held: Scratch
) -> dict[str, str]:
    """Return all variables: those of the image, changed to where its files are here, and those given."""
    host = inherited.for_applications()
    image = {name: on_loopback((places.in_text(value),))[0] for name, value in made.env.items()}
    if image.get("HOME") == made.env.get("HOME"):  # it is no folder of the image
        image.pop("HOME", None)
    own = {}
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
        folder = held.folder / name
        folder.mkdir()
        own[variable] = str(folder)
    own |= {"PYTHONUNBUFFERED": "1", "HOST": LOOPBACK}
    whole = {**host, **own, **image, **given, "VIRTUAL_ENV": str(environment)}
    folders = os.pathsep.join((str(environment / "bin"), whole["PATH"], host["PATH"])).split(os.pathsep)
    whole["PATH"] = os.pathsep.join(dict.fromkeys(filter(None, folders)))
    return whole


def _here(command: Sequence[str], places: Places, folder: Path) -> tuple[str, ...]:
    """Return a command with paths as they are here; a script of the application's that it starts can run."""
    words = tuple(places.in_text(word) for word in command)
    script = folder / words[0]
    if places.at("/") in script.parents and script.is_file() and script.read_bytes()[:2] == b"#!":
        script.chmod(script.stat().st_mode | 0o100)  # its mode may have been lost on the way
    return words


def _cpus(resources: Resources) -> Collection[int]:
    """Return which CPUs it may use, as many as it has whole ones; none in particular where that is all."""
    if not resources.cpus or not hasattr(os, "sched_getaffinity"):
        return ()
    own = sorted(os.sched_getaffinity(0))
    count = max(1, math.ceil(resources.cpus))
    if count >= len(own):
        return ()
    # neighbours, which share caches; replicas begin at different ones
    begin = random.randrange(len(own))
    return [own[(begin + number) % len(own)] for number in range(count)]


ENGINE = ProcessEngine()
