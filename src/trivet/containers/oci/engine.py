"""What podman and docker have in common: images made or fetched once, and containers with all their limits.

Each of them says in a file of its own how it can be used on this machine (a `Way`).
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from trivet.containers.base import Application, Kept, Near, Prepared, Says
from trivet.containers.oci import owners
from trivet.containers.oci.application import OciApplication
from trivet.containers.oci.content import digest
from trivet.containers.oci.folders import dockerfile
from trivet.containers.oci.tool import Tool, last_line, passed
from trivet.containers.variables import expanded
from trivet.core.containers import PORT, ContainerSpec
from trivet.core.errors import FailedPrecondition, NotFound

log = logging.getLogger("trivet")

FILES = "/trivet/model"
"""Where a container sees the files of its model."""

_REPOSITORY = "localhost/trivet/application"
"""What the images are called that are built from folders; their tags are digests of these."""

_LAST = 20


@dataclass(frozen=True, slots=True)
class Way:
    """How containers run on this machine: what to call, with which options of `create` and of `build`.

    They are `bridged`, in networks of their own, or all on the machine's. `near` is how they reach what
    listens on it. Where there are no `limits`, nothing bounds their memory and CPU.
    """

    tool: Tool
    near: Near = field(default_factory=Near)
    create: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    bridged: bool = True
    limits: bool = True


class OciEngine:
    """Runs images by a command line tool; for `base.Engine`."""

    name: str
    label_of = ""
    """The template of the tool's `ps` for the label `trivet.owner`."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def lacks(self) -> str:
        """Return why it cannot be used here; empty where it can."""
        try:
            self.way()
        except FailedPrecondition as error:
            return str(error)
        return ""

    def way(self) -> Way:
        """Return how it is used here; raises FailedPrecondition where it cannot be."""
        raise NotImplementedError

    def gpus(self, count: int) -> Sequence[str]:
        """Return the options that give a container so many GPUs."""
        raise NotImplementedError

    def near(self) -> Near:
        """Return how containers reach what listens here."""
        return self.way().near

    def prepare(self, spec: ContainerSpec, says: Says) -> Prepared:
        """Build the folder's image, or fetch the one that is named, unless it is there."""
        if spec.folder is None:
            return Prepared(image=self._id(spec.image) or self._fetch(spec.image, says))
        name = f"{_REPOSITORY}:{digest(spec.folder)[:32]}"
        with _alone(self._lock(spec.cache, name)):
            return Prepared(image=self._id(name) or self._build(spec, name, says))

    def start(
        self, spec: ContainerSpec, prepared: Prepared, env: Mapping[str, str], port: int, files: Path | None
    ) -> Application:
        """Make a container and start it; what earlier processes left behind is removed first."""
        way = self.way()
        owners.sweep(way.tool, self.label_of)
        inside = (spec.ports or (PORT,))[0] if way.bridged else port
        own = _environment(env, port, inside, way)
        if files is not None:
            own["TRIVET_MODEL_DIR"] = FILES
        words, variables = passed(own)
        options = [
            "--pull=never",
            f"--label={owners.LABEL}={owners.me()}",
            "--log-driver=none",  # its lines go to our log, and must not fill the disk
            "--stop-timeout=1",  # for whoever removes it by force
            "--security-opt=no-new-privileges",
            *way.create,
            *([f"--publish=127.0.0.1:{port}:{inside}"] if way.bridged else []),
            *(_mount(files) if files is not None else ()),
            *self._resources(spec, way),
            *words,
        ]
        if spec.command:
            options.append(f"--entrypoint={expanded(spec.command, own)[0]}")
        arguments = expanded([*spec.command[1:], *spec.args], own)
        made = way.tool.run("create", *options, prepared.image, *arguments, variables=variables)
        if made.returncode:
            raise FailedPrecondition(f"{self.name} cannot make the container: {last_line(made.stderr)}")

        def says(line: str) -> None:
            log.info("%s, port %d: %s", spec.called, port, line)

        return OciApplication(way.tool, made.stdout.split()[-1], port, spec.resources.memory, says)

    def kept(self, cache: Path) -> Sequence[Kept]:
        """Return the images of folders."""
        return [one for name in self._built() if (one := self._about(name, self._lock(cache, name)))]

    def _built(self) -> Sequence[str]:
        words = ("--filter", f"reference={_REPOSITORY}", "--format", "{{.Repository}}:{{.Tag}}")
        return sorted(set(self.way().tool.run("images", *words).stdout.split()))

    def _about(self, name: str, lock: Path) -> Kept | None:
        tool = self.way().tool
        found = tool.run("image", "inspect", name)
        if found.returncode:
            return None  # it has been removed meanwhile
        about = json.loads(found.stdout)[0]
        # of one that was built for another cache only this is known
        used = lock.stat().st_mtime if lock.exists() else datetime.fromisoformat(about["Created"]).timestamp()
        id_ = about["Id"].rpartition(":")[2]  # several folders may make one image, under a name each
        running = tool.run("ps", "--all", "--quiet", "--filter", f"ancestor={id_}").stdout.split()
        return Kept(
            name, used, int(about["Size"]), bool(running), lambda: not tool.run("rmi", name).returncode
        )

    def _lock(self, cache: Path, name: str) -> Path:
        """Return the file that is locked while an image is built, and says when that was used last."""
        return cache / f"{self.name}-{name[-32:]}.lock"

    def _id(self, image: str) -> str:
        """Return the name of an image by its digest, or its id where it was made here; empty for none."""
        found = self.way().tool.run("image", "inspect", image)
        if found.returncode:
            return ""
        about = json.loads(found.stdout)[0]
        fetched = (name for name in about.get("RepoDigests") or () if not name.startswith("localhost/"))
        return str(next(fetched, about["Id"]))

    def _fetch(self, image: str, says: Says) -> str:
        status, lines = self.way().tool.follow(("pull", image), says)
        if status or not (found := self._id(image)):
            raise NotFound(
                f"there is no image {image!r} here, and {self.name} cannot fetch it: "
                f"{last_line(chr(10).join(lines))}"
            )
        return found

    def _build(self, spec: ContainerSpec, name: str, says: Says) -> str:
        folder, way = spec.folder, self.way()
        assert folder is not None
        with dockerfile(folder) as file:
            words = ("build", f"--file={file}", f"--tag={name}", *way.build, str(folder.resolve()))
            status, lines = way.tool.follow(words, says)
        if status or not (found := self._id(name)):
            last = "\n".join(lines[-_LAST:])
            raise FailedPrecondition(f"{spec.called}: {self.name} cannot build the image:\n{last}")
        return found

    def _resources(self, spec: ContainerSpec, way: Way) -> Sequence[str]:
        wanted = spec.resources
        if not way.limits and (wanted.cpus or wanted.memory):
            log.warning("%s: %s cannot bound memory and CPU on this machine", spec.called, self.name)
        words = []
        if way.limits and wanted.cpus:
            words.append(f"--cpus={min(wanted.cpus, os.cpu_count() or 1):g}")  # more is refused
        if way.limits and wanted.memory:
            words += [f"--memory={wanted.memory}b", f"--memory-swap={wanted.memory}b"]
        if wanted.shared_memory:
            words.append(f"--shm-size={wanted.shared_memory}b")
        return [*words, *(self.gpus(wanted.gpus) if wanted.gpus else ())]


def _environment(env: Mapping[str, str], port: int, inside: int, way: Way) -> dict[str, str]:
    """Return the environment of a container that listens on the port `inside`."""
    own = dict(env)
    for name in ("AIP_HTTP_PORT", "PORT"):
        if own.get(name) == str(port):
            own[name] = str(inside)
    if not way.bridged:
        own.setdefault("HOST", "127.0.0.1")  # which the usual servers read: others must not reach it
    return own


def _mount(files: Path) -> Sequence[str]:
    """Let a container read files of this machine, which with SELinux it could not."""
    return (f"--mount=type=bind,source={files.resolve()},target={FILES},ro", "--security-opt=label=disable")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this machine is here with the same path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        os.utime(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
